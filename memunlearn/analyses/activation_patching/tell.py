"""What `activation_patching` says, its tables and notes."""

from __future__ import annotations

from typing import Any

import torch

from memunlearn.analyses.activation_patching.charts import charts, named
from memunlearn.analyses.activation_patching.compare import Compared, Row
from memunlearn.analyses.activation_patching.measure import Measured
from memunlearn.analyses.material import OVER_CLUSTERS
from memunlearn.localization.labelled import Table
from memunlearn.results.finding import Finding
from memunlearn.statistics.intervals import too_few_clusters


def tell(measured: Measured, compared: Compared, per_head: bool, min_difference: float) -> Finding:
    effects = measured.effects
    nll = {f"{name}_nll": float(effects[name][effects["kept"]].mean()) for name in ("clean", "corrupted")}
    return Finding(
        name="activation_patching",
        title="Activation patching",
        sentences=tuple(_sentence(position, *best.values()) for position, best in compared.strongest.items()),
        unit=OVER_CLUSTERS,
        numbers=compared.counts
        | {"min_difference": min_difference, "per_head": per_head}
        | nll
        | {"strongest": compared.strongest, "outside_0_to_1": compared.outside},
        tables={"activation_patching": compared.table, "activation_patching_rows": _rows(measured)},
        charts=charts(measured.effects.cells, compared, per_head),
        notes=_notes(compared, min_difference),
    )


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _interval(row: Row) -> str:
    return f"95 % interval {_percent(row['low'])} to {_percent(row['high'])}"


def _is_sure(row: Row) -> bool:
    return row["low"] is not None and row["low"] > 0


def _sentence(position: str, into_original: Row, into_twin: Row) -> str:
    where = f"At the {position} token" + ("" if position == "intervention" else "'s prediction")
    cell, effect = named(into_original), _percent(into_original["effect"])
    if into_original["low"] is None:
        return (
            f"{where} the largest mean effect is that of the twin's {cell} patched into the original, {effect} of the damage; "
            "there is no interval, so chance is not ruled out."
        )
    if not _is_sure(into_original):
        undone = f"; {_undone(into_original, into_twin)}" if _is_sure(into_twin) else ""
        return (
            f"{where} no single cell's activations carry the effect of the perturbation: the largest mean, {cell}, is {effect} "
            f"of it ({_interval(into_original)}){undone}."
        )
    none = "no single cell of the original patched into the twin is sure to undo any of it"
    undone = _undone(into_original, into_twin) if _is_sure(into_twin) else none
    return (
        f"{where} the twin's {cell} patched into the original does most, {effect} of the damage "
        f"({_interval(into_original)}); {undone}."
    )


def _undone(into_original: Row, into_twin: Row) -> str:
    same = named(into_original) == named(into_twin)
    return (
        f"the original's {'same cell' if same else named(into_twin)} patched into the twin undoes {'' if same else 'most, '}"
        f"{_percent(into_twin['effect'])} of it ({_interval(into_twin)})"
    )


def _rows(measured: Measured) -> Table:
    """One row a memorized paragraph; None where it has no twin."""
    twins, effects = measured.twins, measured.effects
    place = {int(row): i for i, row in enumerate(twins.rows)}
    columns: dict[str, list[Any]] = {
        "intervention": twins.intervention.tolist(),
        "token": twins.perturbed.ids[torch.arange(len(twins)), twins.intervention].tolist(),
        "impact": twins.impact.tolist(),
        "clean_nll": effects["clean"].tolist(),
        "corrupted_nll": effects["corrupted"].tolist(),
        "kept": effects["kept"].tolist(),
    }
    table: Table = {"origin": list(measured.paragraphs.origin), "cluster": measured.clusters.tolist()}
    for name, values in columns.items():
        table[name] = [values[place[row]] if row in place else None for row in range(len(measured.paragraphs))]
    return table


def _notes(compared: Compared, min_difference: float) -> tuple[str, ...]:
    counts = compared.counts
    notes = [
        "The intervention token is the replaced prefix token; the impact token is the first continuation token that the "
        "perturbed prefix gets wrong, and its position is the one that predicts it. Both runs are given the true continuation.",
        "A layer's mlp_in and mlp_out have the same effect, since the first determines the second.",
        "An effect is a share of what the whole perturbation does, but it is not bounded by 0 and 1: of those of single rows "
        f"and cells, {_percent(compared.outside)} lie outside.",
        "The strongest cell is chosen by the same rows that give its interval, which is therefore on the narrow side.",
    ]
    without, left_out = counts["memorized"] - counts["with_twin"], counts["with_twin"] - counts["rows"]
    if without:
        notes.append(
            f"{without} of {counts['memorized']} memorized paragraphs have no twin: whatever prefix token is replaced, the "
            "model still says more than a fifth of the continuation in a row."
        )
    if left_out:
        notes.append(
            f"{left_out} of {counts['with_twin']} twins are left out: they raise the NLL of the impact token by less than "
            f"{min_difference} nats."
        )
    if few := too_few_clusters(counts["clusters"]):
        notes.append(f"There are no intervals, and nothing is said to be above chance: {few}.")
    return tuple(notes)
