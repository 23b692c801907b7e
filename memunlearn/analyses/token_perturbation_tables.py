"""The tables of `token_perturbation`: every row and position, every position of a set, the worst replacement of every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from memunlearn.analyses.perturbed_rows import PerturbedRows
from memunlearn.statistics.estimates import Estimates, numbers_or_none

Table = dict[str, list[Any]]


def make_tables(
    perturbed: PerturbedRows, by_position: Mapping[str, tuple[Estimates, Estimates]], taus: np.ndarray, tokenizer: Any | None
) -> dict[str, Table]:
    """by_position: EM drop and NLL rise of a set, [P] each. taus: [n]. Positions count from 0; tokens, nats per token."""
    return {
        "token_perturbation": _every_position(perturbed),
        "token_perturbation_positions": _positions(by_position),
        "token_perturbation_rows": _rows(perturbed, taus, tokenizer),
    }


def _every_position(perturbed: PerturbedRows) -> Table:
    n, p = perturbed.em_drop.shape
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
    found = perturbed.perturbations
    drop, rise = found.em_drop.double().numpy(), found.nll_rise.double().numpy()
    for number, kind in enumerate(found.kinds):
        name = kind if found.kinds.count(kind) == 1 else f"{kind}_{number + 1}"
        table[f"{name}_token"] = [None if token < 0 else token for token in found.tokens[:, :, number].flatten().tolist()]
        table[f"{name}_em_drop"] = numbers_or_none(drop[:, :, number].flatten())
        table[f"{name}_nll_rise"] = numbers_or_none(rise[:, :, number].flatten())
    return table


def _positions(by_position: Mapping[str, tuple[Estimates, Estimates]]) -> Table:
    table: Table = {"set": [], "position": []}
    for name, pair in by_position.items():
        table["set"] += [name] * len(pair[0].value)
        table["position"] += range(len(pair[0].value))
        for key, estimates in zip(("em_drop", "nll_rise"), pair, strict=True):
            for suffix, values in (("", estimates.value), ("_low", estimates.low), ("_high", estimates.high)):
                table.setdefault(key + suffix, []).extend(numbers_or_none(values))
    return table


def _rows(perturbed: PerturbedRows, taus: np.ndarray, tokenizer: Any | None) -> Table:
    found = perturbed.perturbations
    position, replacement = found.worst()
    every, kinds = range(len(position)), len(found.kinds)
    alternative: list[int | None] = [number if number >= 0 else None for number in perturbed.alternative.tolist()]
    texts = _shown(perturbed.said, tokenizer)
    instead = _shown(found.tokens.flatten(1).gather(1, perturbed.alternative.clamp(min=0).unsqueeze(1)), tokenizer)
    em_after = [float(found.em[row, position[row], replacement[row]]) for row in every]
    originals = [int(perturbed.paragraphs.prefixes[row, position[row]]) for row in every]
    tokens = [int(found.tokens[row, position[row], replacement[row]]) for row in every]
    return {
        "row": perturbed.rows.tolist(),
        "origin": list(perturbed.paragraphs.origin),
        "set": perturbed.set_of.tolist(),
        "cluster": perturbed.clusters.tolist(),
        "em_before": found.em_before.tolist(),
        "nll_before": found.nll_before.tolist(),
        "mean_em_drop": numbers_or_none(np.nanmean(perturbed.em_drop, 1)),
        "mean_nll_rise": numbers_or_none(np.nanmean(perturbed.nll_rise, 1)),
        "tau_frequency": numbers_or_none(taus),
        "worst_position": position.tolist(),
        "worst_kind": [found.kinds[int(number)] for number in replacement],
        "worst_em": em_after,
        "replaced": _shown([[token] for token in originals], tokenizer),
        "replaced_by": _shown([[token] for token in tokens], tokenizer),
        "continuation": _shown(perturbed.paragraphs.continuations, tokenizer),
        "alternative": [None if number is None else texts[row] for row, number in enumerate(alternative)],
        "alternative_position": [None if number is None else number // kinds for number in alternative],
        "alternative_replaced_by": [None if number is None else instead[row] for row, number in enumerate(alternative)],
    }


def _shown(tokens: Tensor | Sequence[Sequence[int]], tokenizer: Any | None) -> list[str]:
    """As text, or as ids where there is no tokenizer."""
    ids = tokens.tolist() if isinstance(tokens, Tensor) else tokens
    if tokenizer is None:
        return [" ".join(str(token) for token in row) for row in ids]
    return [tokenizer.decode(row) for row in ids]
