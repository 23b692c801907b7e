"""analysis=parameter_gradients: where the gradient of a paragraph's NLL lies, by EM bin (paper, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from memunlearn.analyses.material import OVER_CLUSTERS, Material
from memunlearn.analyses.parameter_gradient_charts import charts, named, percent
from memunlearn.analyses.parameter_gradient_tables import LEVEL, BinRows, Comparison, rows_of_layers, tables
from memunlearn.charts.description import BIN_COLOURS, NEUTRAL
from memunlearn.errors import UserError
from memunlearn.localization.parameter_gradients import PooledGradients, parameter_gradients, shares
from memunlearn.paragraphs.bins import em_bins
from memunlearn.results.finding import Finding
from memunlearn.statistics.intervals import FEWEST_CLUSTERS, too_few_clusters
from memunlearn.statistics.permutation import UNEQUAL_SPREADS, MaxT, max_t, mean_over_clusters


@dataclass(frozen=True)
class ParameterGradients:
    """Per-paragraph gradients, pooled per layer x component (x head), raw and as shares of the paragraph's sum over all cells.

    Memorized text has small losses and therefore small gradients everywhere: only shares tell *where* they lie. top_share: a
    cell's number is the mean of this share of its magnitudes, the largest. max_per_bin: paragraphs of each EM bin (None: all).
    permutations: of cluster labels.
    """

    version: ClassVar[int] = 1
    top_share: float = 0.1
    max_per_bin: int | None = 100
    permutations: int = 2000

    def __post_init__(self) -> None:
        option = "analysis.parameter_gradients"
        if not _is_number(self.top_share) or not 0 < self.top_share <= 1:
            raise UserError(f"{option}.top_share={self.top_share} is not a share: set a number above 0, at most 1, such as 0.1")
        if self.max_per_bin is not None and not _is_count(self.max_per_bin, 1):
            raise UserError(f"{option}.max_per_bin={self.max_per_bin}: set a number of paragraphs from 1, or null for all")
        if not _is_count(self.permutations, 20):
            raise UserError(f"{option}.permutations={self.permutations}: set at least 20, or no p-value can be below {LEVEL}")

    def __call__(self, material: Material) -> Finding:
        """Raises UserError if there are no paragraphs, or none has a gradient."""
        labels = _bins_in_order(material)
        chosen = {label: material.rows(material.in_bin(label), self.max_per_bin) for label in labels}
        groups = [material.rows(group, self.max_per_bin) for group in (material.memorized, material.non_memorized)]
        read = torch.cat([*chosen.values(), *groups, torch.empty(0, dtype=torch.int64)]).unique()
        if not len(read):
            raise UserError("analysis parameter_gradients has no paragraphs to differentiate: give some in paragraphs=")
        pooled = parameter_gradients(material.model, material.weights, material.paragraphs.select(read), self.top_share)
        sums = pooled.total.sum(1)
        usable = sums.isfinite() & (sums > 0)
        if not usable.any():
            raise UserError("no paragraph has a finite gradient other than 0: check the model's weights for NaN or inf")
        pooled, rows = pooled.select(usable), read[usable]

        bins = [
            BinRows(label, colour, material.clusters[kept].numpy(), pooled.select(torch.searchsorted(rows, kept)))
            for (label, wanted), colour in zip(chosen.items(), _colours(material, len(chosen)), strict=True)
            if len(kept := wanted[torch.isin(wanted, rows)])
        ]
        memorized, non_memorized = (wanted[torch.isin(wanted, rows)] for wanted in groups)
        comparison = self._compare(material, pooled, rows, memorized, non_memorized)
        layer_rows = rows_of_layers(bins, material.seed)
        return Finding(
            name="parameter_gradients",
            title="Parameter gradients: where memorized paragraphs would change the model",
            sentences=_sentences(comparison, pooled, len(bins)),
            unit=OVER_CLUSTERS,
            numbers=_numbers(bins, comparison, pooled),
            tables=tables(bins, comparison, layer_rows),
            charts=charts(bins, comparison, layer_rows, self.top_share),
            notes=_notes(material, bins, comparison, int((~usable).sum()), (len(memorized), len(non_memorized))),
        )

    def _compare(
        self, material: Material, pooled: PooledGradients, rows: Tensor, memorized: Tensor, non_memorized: Tensor
    ) -> Comparison | None:
        if not len(memorized) or not len(non_memorized):
            return None
        both = torch.cat([memorized, non_memorized])
        in_group = (torch.arange(len(both)) < len(memorized)).numpy()
        clusters = material.clusters[both].numpy()
        of_both = pooled.select(torch.searchsorted(rows, both))
        cells, layers = shares(of_both.top_mean).numpy(), shares(of_both.layer_total()).numpy()
        third = max(1, round(layers.shape[1] / 3))
        ends = np.stack([layers[:, :third].sum(1), layers[:, -third:].sum(1)], 1)
        sizes = of_both.total.sum(1, keepdim=True).log().numpy()

        def sides(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            group, rest = (mean_over_clusters(values[side], clusters[side]) for side in (in_group, ~in_group))
            return group, rest

        def test(values: np.ndarray) -> MaxT | None:
            return max_t(values, in_group, clusters, self.permutations, material.seed)

        return Comparison(
            of_both.cells,
            *sides(cells),
            test(cells),
            of_both.layers[:third],
            of_both.layers[-third:],
            sides(ends),
            None if layers.shape[1] < 2 else test(ends),
            float(np.exp(np.subtract(*sides(sizes))[0])),
            test(sizes),
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object, at_least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= at_least


def _bins_in_order(material: Material) -> list[str]:
    """Labels of all EM bins, lowest first, those without rows too; then any that the source adds."""
    known = [one.label for one in em_bins(material.paragraphs.continuation_length)]
    return known + sorted(set(material.bins) - set(known))


def _colours(material: Material, bins: int) -> list[str]:
    """By place, the memorized bin's always the last; grey for what is no EM bin."""
    known = len(em_bins(material.paragraphs.continuation_length))
    return [*BIN_COLOURS[: known - 1], BIN_COLOURS[-1], *[NEUTRAL] * (bins - known)]


def _numbers(bins: Sequence[BinRows], comparison: Comparison | None, pooled: PooledGradients) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "cells": len(pooled.cells),
        "bins": {one.label: {"paragraphs": len(one.gradients.total), "clusters": one.cluster_count} for one in bins},
    }
    if comparison is None:
        return numbers
    more, less = comparison.significant()
    has_test = comparison.test is not None
    numbers |= {
        "significant_more": len(more) if has_test else None,
        "significant_less": len(less) if has_test else None,
        "smallest_p": float(comparison.test.p.min()) if comparison.test is not None else None,
        "gradient_ratio": comparison.ratio,
        "gradient_ratio_p": None if comparison.ratio_test is None else float(comparison.ratio_test.p[0]),
    }
    if len(pooled.layers) > 1:
        for i, name in enumerate(("lower_third", "upper_third")):
            numbers[name] = {
                "layers": list((comparison.lower, comparison.upper)[i]),
                "memorized_share": float(comparison.ends[0][i]),
                "non_memorized_share": float(comparison.ends[1][i]),
                "p": None if comparison.ends_test is None else float(comparison.ends_test.p[i]),
            }
    return numbers


def _sentences(comparison: Comparison | None, pooled: PooledGradients, bins: int) -> tuple[str, ...]:
    if comparison is None:
        read = f"Gradients of {len(pooled.total)} paragraphs in {bins} EM bin{'s' * (bins > 1)} were read"
        return (f"{read}; memorized and non-memorized ones cannot be compared, since one of the two groups is empty.",)
    sentences = [] if len(pooled.layers) < 2 else [_ends_sentence(comparison)]
    sentences.append(_cells_sentence(comparison))
    sentences.append(_size_sentence(comparison))
    return tuple(sentences)


def _size_sentence(comparison: Comparison) -> str:
    ratio, test = comparison.ratio, comparison.ratio_test
    if test is None:
        return f"In size the whole gradients of the two groups have a ratio of {ratio:.2g}; too few clusters for more."
    told = f"geometric means over clusters, p = {test.p[0]:.2g}"
    if test.p[0] >= LEVEL:
        return f"In size no difference is seen between the whole gradients of the two groups (ratio {ratio:.2g}; {told})."
    return (
        f"In size the whole gradient of a memorized paragraph is {max(ratio, 1 / ratio):.2g} times "
        f"{'larger' if ratio >= 1 else 'smaller'} than that of a non-memorized one ({told})."
    )


def _ends_sentence(comparison: Comparison) -> str:
    test = comparison.ends_test
    parts = []
    for i, (name, layers) in enumerate((("lower", comparison.lower), ("upper", comparison.upper))):
        memorized, non_memorized = (percent(side[i]) for side in comparison.ends)
        where = f"the {name} third of the layers ({layers[0]}{f'-{layers[-1]}' * (len(layers) > 1)})"
        told = "" if test is None else f" (p = {test.p[i]:.2g})"
        parts.append(
            f"{where} holds {memorized} of the gradient of memorized, {non_memorized} of non-memorized paragraphs{told}"
        )
    if test is None:
        verdict = "Too few clusters to tell whether memorized gradients lie lower"
    elif test.p.min() >= LEVEL:
        verdict = "No difference is seen in how far down the gradients of memorized paragraphs lie"
    else:
        lower = (test.p[0] < LEVEL) * np.sign(test.difference[0]) - (test.p[1] < LEVEL) * np.sign(test.difference[1])
        place = "lower" if lower > 0 else "higher" if lower < 0 else "both lower and higher, or in the middle,"
        verdict = f"Gradients of memorized paragraphs are concentrated in {place} layers relative to non-memorized ones"
    return f"{verdict}: {' and '.join(parts)}."


def _cells_sentence(comparison: Comparison) -> str:
    test = comparison.test
    if test is None:
        return "Too few clusters to test single cells."
    more, less = comparison.significant()
    count = len(comparison.cells)
    if not len(more) + len(less):
        return f"None of {count} cells differs in its share after correction (smallest p = {test.p.min():.2g})."
    said = f"{len(more) + len(less)} of {count} cells differ in their share after correction (p < {LEVEL})"
    said += f": {len(more)} have more in memorized paragraphs, {len(less)} less"
    if len(more):
        top = more[comparison.difference[more].argmax()]
        shown = percent(comparison.memorized[top]), percent(comparison.non_memorized[top])
        said += f"; the largest excess is {named(comparison.cells[top])}, {shown[0]} against {shown[1]}"
    return f"{said}."


def _notes(
    material: Material, bins: Sequence[BinRows], comparison: Comparison | None, left_out: int, sizes: tuple[int, int]
) -> tuple[str, ...]:
    notes = [
        "Shares: a cell's number over the sum of all cells' of the same paragraph. Comparisons of memorized with non-memorized "
        "weigh every cluster the same; means of bins weigh every paragraph the same."
    ]
    if left_out:
        notes.append(f"{left_out} paragraphs were left out: their gradient is 0 everywhere, or not finite.")
    for name, size in zip(("memorized", "non-memorized"), sizes, strict=True):
        if not size:
            notes.append(f"There is no {name} paragraph: nothing is compared.")
    few = [one.label for one in bins if too_few_clusters(one.cluster_count)]
    if few:
        notes.append(f"No interval for EM {', '.join(few)}: fewer than {FEWEST_CLUSTERS} clusters.")
    if comparison is not None and comparison.test is None:
        notes.append(f"No test: memorized or non-memorized paragraphs form fewer than {FEWEST_CLUSTERS} clusters.")
    if comparison is not None and comparison.test is not None:
        notes.append(UNEQUAL_SPREADS)
    if material.self_generated:
        notes.append(
            "Continuations appear to be the model's own output: their NLL is low also where the true text is not known."
        )
    return tuple(notes)
