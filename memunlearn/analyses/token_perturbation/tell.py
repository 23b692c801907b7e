"""What `token_perturbation` says, its tables and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from memunlearn.analyses.claims import direction, linked
from memunlearn.analyses.material import OVER_CLUSTERS, Material
from memunlearn.analyses.token_perturbation.charts import charts
from memunlearn.analyses.token_perturbation.compare import Compared
from memunlearn.analyses.token_perturbation.measure import SETS, PerturbedRows
from memunlearn.localization.labelled import Table, stacked, table_of
from memunlearn.localization.token_perturbation import em_drop, nll_rise, worst
from memunlearn.results.finding import Finding
from memunlearn.statistics.estimates import Estimates, numbers_or_none
from memunlearn.statistics.intervals import too_few_clusters
from memunlearn.words import number, p_value, rows, with_interval


def tell(perturbed: PerturbedRows, compared: Compared, material: Material, permutations: int, second_likely: bool) -> Finding:
    sentences = _sentences(compared, material.paragraphs.continuation_length)
    return Finding(
        name="token_perturbation",
        title="One prefix token replaced",
        sentences=sentences,
        unit=OVER_CLUSTERS,
        numbers=compared.numbers,
        tables={
            "token_perturbation": _every_position(perturbed),
            "token_perturbation_positions": stacked([_positions(name, *two) for name, two in compared.by_position.items()]),
            "token_perturbation_rows": _rows(perturbed, compared.taus, material.tokenizer),
        },
        charts=charts(perturbed, compared, sentences),
        notes=_notes(perturbed, compared, material, permutations, second_likely),
    )


def _sentences(compared: Compared, length: int) -> tuple[str, ...]:
    found = {name: one for name, one in compared.numbers["sets"].items() if one}
    drops = ", and ".join(
        f"a {name} continuation {with_interval(one['em_drop'])} of its {length} tokens" for name, one in found.items()
    )
    first = f"Replacing one prefix token costs {drops} on average"
    if len(found) == 2:
        verdict = direction(
            compared.difference,
            "memorized continuations are easier to corrupt",
            "memorized continuations are harder to corrupt",
            "no clear difference between the sets",
        )
        difference = compared.difference
        first += f": {verdict} (difference {with_interval(difference.numbers())}, {p_value(difference.p_value)})"
    most = ", ".join(
        f"{number(one['worst_em_drop']['value'])} tokens for {name} rows (its mean position: "
        f"{number(one['worst_position']['value'])})"
        for name, one in found.items()
    )
    second = f"The one replacement that corrupts most costs {most}"
    return f"{first}.", f"{second}.", *(_frequency_sentence(name, one) for name, one in found.items())


def _frequency_sentence(name: str, found: Mapping[str, Any]) -> str:
    tau, within = found["tau_frequency"], found["tau_frequency_within_positions"]
    verdict = linked(
        within["value"],
        (within["p_value"],),
        "replacing frequent tokens corrupts more",
        "replacing rare tokens corrupts more",
        "no link with frequency is seen",
        clusters=found["clusters"],
    )
    return (
        f"In {name} rows Kendall's tau between the drop and the corpus frequency of the replaced token is "
        f"{number(tau['value'])} ({p_value(tau['p_value'])}) along a prefix, and {number(within['value'])} "
        f"({p_value(within['p_value'])}) between rows at the same position: {verdict}."
    )


def _every_position(perturbed: PerturbedRows) -> Table:
    """A row a perturbed row and position, counted from 0; EM in tokens, NLL in nats per token."""
    n, p = perturbed.em_drop.shape
    found, kinds = perturbed.perturbations, perturbed.perturbations.labels["replacement"]
    table: Table = {
        "row": perturbed.rows.repeat_interleave(p).tolist(),
        "set": np.repeat(perturbed.set_of, p).tolist(),
        "cluster": np.repeat(perturbed.clusters, p).tolist(),
        "position": list(range(p)) * n,
        "token": perturbed.paragraphs.prefixes.flatten().tolist(),
        "frequency": perturbed.frequency.flatten().tolist(),
        "em_drop": numbers_or_none(perturbed.em_drop.flatten()),
        "nll_rise": numbers_or_none(perturbed.nll_rise.flatten()),
    }
    drop, rise = em_drop(found).double().numpy(), nll_rise(found).double().numpy()
    for place, kind in enumerate(kinds):
        name = kind if kinds.count(kind) == 1 else f"{kind}_{place + 1}"
        tokens = found["tokens"][:, :, place].flatten().tolist()
        table[f"{name}_token"] = [None if token < 0 else token for token in tokens]
        table[f"{name}_em_drop"] = numbers_or_none(drop[:, :, place].flatten())
        table[f"{name}_nll_rise"] = numbers_or_none(rise[:, :, place].flatten())
    return table


def _positions(name: str, drops: Estimates, rises: Estimates) -> Table:
    columns = {
        key + suffix: values
        for key, found in (("em_drop", drops), ("nll_rise", rises))
        for suffix, values in (("", found.value), ("_low", found.low), ("_high", found.high))
    }
    return table_of({"position": range(len(drops.value))}, columns, set=name)


def _rows(perturbed: PerturbedRows, taus: np.ndarray, tokenizer: Any | None) -> Table:
    """A row a perturbed row: its worst replacement, and its alternative (None where there is none)."""
    found, kinds = perturbed.perturbations, perturbed.perturbations.labels["replacement"]
    position, replacement = worst(found)
    every = range(len(position))
    alternative = [None if place < 0 else place for place in perturbed.alternative.tolist()]
    said = _shown(perturbed.said, tokenizer)
    instead = _shown(found["tokens"].flatten(1).gather(1, perturbed.alternative.clamp(min=0).unsqueeze(1)), tokenizer)
    originals = [[int(perturbed.paragraphs.prefixes[row, position[row]])] for row in every]
    tokens = [[int(found["tokens"][row, position[row], replacement[row]])] for row in every]
    mean_drop, mean_rise = perturbed.per_row
    return {
        "row": perturbed.rows.tolist(),
        "origin": list(perturbed.paragraphs.origin),
        "set": perturbed.set_of.tolist(),
        "cluster": perturbed.clusters.tolist(),
        "em_before": found["em_before"].tolist(),
        "nll_before": found["nll_before"].tolist(),
        "mean_em_drop": numbers_or_none(mean_drop),
        "mean_nll_rise": numbers_or_none(mean_rise),
        "tau_frequency": numbers_or_none(taus),
        "worst_position": position.tolist(),
        "worst_kind": [kinds[int(place)] for place in replacement],
        "worst_em": [float(found["em"][row, position[row], replacement[row]]) for row in every],
        "replaced": _shown(originals, tokenizer),
        "replaced_by": _shown(tokens, tokenizer),
        "continuation": _shown(perturbed.paragraphs.continuations, tokenizer),
        "alternative": [None if place is None else said[row] for row, place in enumerate(alternative)],
        "alternative_position": [None if place is None else place // len(kinds) for place in alternative],
        "alternative_replaced_by": [None if place is None else instead[row] for row, place in enumerate(alternative)],
    }


def _shown(tokens: Tensor | Sequence[Sequence[int]], tokenizer: Any | None) -> list[str]:
    """As text, or as ids where there is no tokenizer."""
    ids = tokens.tolist() if isinstance(tokens, Tensor) else tokens
    if tokenizer is None:
        return [" ".join(str(token) for token in row) for row in ids]
    return [tokenizer.decode(row) for row in ids]


def _notes(
    perturbed: PerturbedRows, compared: Compared, material: Material, permutations: int, second_likely: bool
) -> tuple[str, ...]:
    notes = [
        "A frequency belongs to a token type, not to a row: p-values against frequency come from "
        f"{permutations} shuffles of the frequencies over the token types in these prefixes, corrected for both sets, along "
        "prefixes and within positions. Near-duplicates count once: a cluster weighs as much as one row.",
        "Non-memorized rows are scored on what the model says after their unperturbed prefix: their drop is in self-EM.",
    ]
    length = material.paragraphs.continuation_length
    if partly := int((perturbed.perturbations["em_before"][perturbed.of("memorized")] < length).sum()):
        notes.append(f"{rows(partly)} of the memorized set had EM below {length} before anything was replaced.")
    if second_likely:
        notes.append("The first prefix token is not predicted, so it has no second-likely replacement, only random ones.")
    for name, group in zip(SETS, (material.memorized, material.non_memorized), strict=True):
        available, used = int(group.sum()), int(perturbed.of(name).sum())
        if not used:
            notes.append(f"No {name} row was perturbed: there is no comparison.")
        elif used < available:
            notes.append(f"{rows(used)} of {available:,} {name} rows were drawn with the seed.")
        if used and (few := too_few_clusters(len(np.unique(perturbed.clusters[perturbed.of(name)])))):
            notes.append(f"There is no interval for {name} rows: {few}.")
        if used > (within := len(perturbed.within[name])):
            notes.append(f"Within positions {within} of {used:,} {name} rows, drawn with the seed, are compared.")
    if without := int((perturbed.alternative < 0).sum()):
        notes.append(
            f"{rows(without)} have no alternative (null in the table of rows): whatever token is replaced, the model still "
            f"says more than {length / 5:g} tokens of the continuation in a row."
        )
    if missing := int(np.isnan(compared.taus).sum()):
        notes.append(f"{rows(missing)} had the same drop, or equally frequent tokens, everywhere: no correlation.")
    return tuple(notes)
