"""Analysis: which activations carry the damage that one perturbed prefix token does to a memorized paragraph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from memunlearn.analyses.material import OVER_CLUSTERS, Material
from memunlearn.charts.description import Chart, Heat
from memunlearn.errors import UserError
from memunlearn.localization.activation_patching import DIRECTIONS, POSITIONS, PatchingEffects, activation_patching
from memunlearn.localization.activations import Cell
from memunlearn.localization.twins import Twins, twins_of
from memunlearn.models.architectures import KINDS
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.results.finding import Finding
from memunlearn.statistics.estimates import means_with_intervals, number_or_none
from memunlearn.statistics.intervals import too_few_clusters

Row = dict[str, Any]
# Smaller effects are those of fp32, as where a cell cannot matter at a position.
ROUNDING = 1e-3


@dataclass(frozen=True)
class ActivationPatching:
    """Patches activations of a memorized paragraph's perturbed twin into it, and the reverse (paper, section 4; finding 6).

    replacements: tokens tried at each prefix position to find the twin. max_memorized: rows at most (None: all), drawn with the
    seed. per_head: every head of q, k, v, out on its own (as many times more passes). min_difference: nats by which the twin
    must raise the NLL of the impact token; rows below it are left out, and counted.
    """

    version: ClassVar[int] = 3
    replacements: int = 1
    max_memorized: int | None = None
    per_head: bool = False
    min_difference: float = 0.5

    def __post_init__(self) -> None:
        for option, value in (("replacements", self.replacements), ("max_memorized", self.max_memorized)):
            if value is not None and value < 1:
                raise UserError(f"analysis.activation_patching.{option}={value} must be 1 or more")
        if not self.min_difference > 0:
            raise UserError(
                f"analysis.activation_patching.min_difference={self.min_difference} must be above 0: effects are divided by it"
            )

    def __call__(self, material: Material) -> Finding:
        rows = material.rows(material.memorized, self.max_memorized)
        if not len(rows):
            raise UserError(
                "activation_patching needs memorized paragraphs and there is none: give some as paragraphs.forget or "
                "paragraphs.bystander, or leave this analysis out"
            )
        paragraphs = material.paragraphs.select(rows)
        twins = twins_of(paragraphs, material.alternatives(paragraphs, self.replacements), material.scores.em[rows])
        if not len(twins):
            raise UserError(
                f"activation_patching: whatever single prefix token is replaced, the model still says more than a fifth of "
                f"each of {len(rows)} memorized paragraphs in a row: try more with "
                f"analysis.activation_patching.replacements={self.replacements + 1}"
            )
        found = activation_patching(
            material.model, material.weights, twins, self.per_head, self.min_difference, material.batch_size
        )
        kept = int(found.kept.sum())
        if not kept:
            raise UserError(
                f"activation_patching: in none of {len(twins)} paragraphs does the perturbed prefix raise the NLL of the "
                f"impact token by {self.min_difference} nats: lower analysis.activation_patching.min_difference"
            )
        clusters = material.clusters[rows]
        kept_clusters = clusters[twins.rows[found.kept]].numpy()
        means = _means(found, kept_clusters, material.seed)
        strongest = {position: _strongest(means, position) for position in POSITIONS}
        counts = {
            "memorized": len(rows),
            "with_twin": len(twins),
            "rows": kept,
            "clusters": len(np.unique(kept_clusters)),
        }
        return Finding(
            name="activation_patching",
            title="Activation patching",
            sentences=tuple(_sentence(position, best) for position, best in strongest.items()),
            unit=OVER_CLUSTERS,
            numbers={
                **counts,
                "min_difference": self.min_difference,
                "per_head": self.per_head,
                "clean_nll": float(found.clean[found.kept].mean()),
                "corrupted_nll": float(found.corrupted[found.kept].mean()),
                "strongest": strongest,
                "outside_0_to_1": _outside(found),
            },
            tables={
                "activation_patching": {name: [row[name] for row in means] for name in means[0]},
                "activation_patching_rows": _row_table(paragraphs, twins, found, clusters),
            },
            charts=_charts(found.cells, means, strongest, self.per_head, counts),
            notes=_notes(counts, self.min_difference, _outside(found)),
        )


def _outside(found: PatchingEffects) -> float:
    """Share of the effects of a single row and cell that are below 0 or above 1, and not by rounding only."""
    effects = found.effects[found.kept]
    return float(((effects < -ROUNDING) | (effects > 1 + ROUNDING)).double().mean())


def _means(found: PatchingEffects, clusters: np.ndarray, seed: int) -> list[Row]:
    """One row a position, direction and cell: the mean effect over the kept rows, its interval over clusters."""
    effects = found.effects[found.kept].numpy()
    of_cells = means_with_intervals(effects, clusters, seed)
    table: list[Row] = []
    for j, position in enumerate(POSITIONS):
        for i, direction in enumerate(DIRECTIONS):
            for k, cell in enumerate(found.cells):
                table.append(
                    {
                        "position": position,
                        "direction": direction,
                        "layer": cell.layer,
                        "component": cell.kind,
                        "head": cell.head,
                        "effect": float(of_cells.value[i, j, k]),
                        "low": number_or_none(of_cells.low[i, j, k]),
                        "high": number_or_none(of_cells.high[i, j, k]),
                        "rows": len(effects),
                    }
                )
    return table


def _strongest(means: list[Row], position: str) -> dict[str, Row]:
    """By direction: the cell with the largest mean effect at this position, the first of those that differ by rounding only."""
    return {
        direction: max(
            (r for r in means if (r["position"], r["direction"]) == (position, direction)), key=lambda r: round(r["effect"], 4)
        )
        for direction in DIRECTIONS
    }


def _name(row: Mapping[str, Any]) -> str:
    head = "" if row["head"] is None else f" head {row['head']}"
    return f"layer {row['layer']} {row['component']}{head}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _interval(row: Row) -> str:
    if row["low"] is None:
        return "no interval"
    return f"95 % interval {_percent(row['low'])} to {_percent(row['high'])}"


def _sentence(position: str, best: dict[str, Row]) -> str:
    token = "token" if position == "intervention" else "token's prediction"
    into_original, into_twin = (best[direction] for direction in DIRECTIONS)
    if into_original["low"] is None:
        return (
            f"At the {position} {token} the largest mean effect is that of the twin's {_name(into_original)} patched into the "
            f"original, {_percent(into_original['effect'])} of the damage; there is no interval, so chance is not ruled out."
        )
    if not _sure(into_original):
        undone = f"; {_undone(into_original, into_twin)}" if _sure(into_twin) else ""
        return (
            f"At the {position} {token} no single cell's activations carry the effect of the perturbation: the largest mean, "
            f"{_name(into_original)}, is {_percent(into_original['effect'])} of it ({_interval(into_original)}){undone}."
        )
    undone = (
        _undone(into_original, into_twin)
        if _sure(into_twin)
        else "no single cell of the original patched into the twin is sure to undo any of it"
    )
    return (
        f"At the {position} {token} the twin's {_name(into_original)} patched into the original does most, "
        f"{_percent(into_original['effect'])} of the damage ({_interval(into_original)}); {undone}."
    )


def _sure(row: Row) -> bool:
    return row["low"] is not None and row["low"] > 0


def _undone(into_original: Row, into_twin: Row) -> str:
    same = _name(into_original) == _name(into_twin)
    return (
        f"the original's {'same cell' if same else _name(into_twin)} patched into the twin undoes {'' if same else 'most, '}"
        f"{_percent(into_twin['effect'])} of it ({_interval(into_twin)})"
    )


def _charts(
    cells: tuple[Cell, ...], means: list[Row], strongest: dict[str, dict[str, Row]], per_head: bool, counts: dict[str, int]
) -> tuple[Chart, ...]:
    layers = sorted({cell.layer for cell in cells})
    columns = list(dict.fromkeys((cell.kind, cell.head) for cell in sorted(cells, key=_column_order)))
    panels = []
    for position in POSITIONS:
        for direction in DIRECTIONS:
            effect = {
                (r["layer"], r["component"], r["head"]): r["effect"]
                for r in means
                if (r["position"], r["direction"]) == (position, direction)
            }
            panels.append(
                Heat(
                    title=f"{direction}, {position} token",
                    row_label="layer",
                    column_label="component and head" if per_head else "component",
                    rows=[str(layer) for layer in layers],
                    columns=[kind if head is None else f"{kind} {head}" for kind, head in columns],
                    values=[[effect.get((layer, *column)) for column in columns] for layer in layers],
                    unit="change of NLL over that of the whole perturbation",
                    diverging=True,
                )
            )
    said = "; ".join(f"at the {p} token {_name(best[DIRECTIONS[0]])} does most" for p, best in strongest.items())
    return (
        Chart(
            name="activation_patching",
            caption=f"Mean effect of patching one cell over {_counted(counts)} (0: nothing, 1: as much as the whole "
            f"perturbation, below 0: the opposite): {said} when the twin is patched into the original.",
            alt="Four heat maps, layers by components: patching the twin into the original and the original into the twin, at "
            "the intervention token and at the token that predicts the impact token.",
            panels=tuple(panels),
            columns=1 if per_head else 2,
            shared=True,
        ),
    )


def _column_order(cell: Cell) -> tuple[int, int]:
    return KINDS.index(cell.kind), -1 if cell.head is None else cell.head


def _counted(counts: dict[str, int]) -> str:
    rows, clusters = counts["rows"], counts["clusters"]
    return f"{rows} memorized paragraph{'' if rows == 1 else 's'} in {clusters} cluster{'' if clusters == 1 else 's'}"


def _row_table(paragraphs: ParagraphSet, twins: Twins, found: PatchingEffects, clusters: torch.Tensor) -> dict[str, list[Any]]:
    """One row a memorized paragraph; None where it has no twin."""
    place = {int(row): i for i, row in enumerate(twins.rows)}
    columns: dict[str, list[Any]] = {
        "intervention": twins.intervention.tolist(),
        "token": twins.perturbed.ids[torch.arange(len(twins)), twins.intervention].tolist(),
        "impact": twins.impact.tolist(),
        "clean_nll": found.clean.tolist(),
        "corrupted_nll": found.corrupted.tolist(),
        "kept": found.kept.tolist(),
    }
    table: dict[str, list[Any]] = {"origin": list(paragraphs.origin), "cluster": clusters.tolist()}
    for name, values in columns.items():
        table[name] = [values[place[row]] if row in place else None for row in range(len(paragraphs))]
    return table


def _notes(counts: dict[str, int], min_difference: float, outside: float) -> tuple[str, ...]:
    notes = [
        "The intervention token is the replaced prefix token; the impact token is the first continuation token that the "
        "perturbed prefix gets wrong, and its position is the one that predicts it. Both runs are given the true continuation.",
        "A layer's mlp_in and mlp_out have the same effect, since the first determines the second.",
        "An effect is a share of what the whole perturbation does, but it is not bounded by 0 and 1: of those of single rows "
        f"and cells, {_percent(outside)} lie outside.",
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
