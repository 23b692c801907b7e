"""The pooled gradients of every EM bin, and of memorized and non-memorized paragraphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memunlearn.analyses.material import Material
from memunlearn.charts.description import BIN_COLOURS, NEUTRAL
from memunlearn.errors import UserError
from memunlearn.localization.labelled import Cell, Labelled
from memunlearn.localization.parameter_gradients import layers_of, parameter_gradients
from memunlearn.paragraphs.bins import em_bins


@dataclass(frozen=True, eq=False)
class Group:
    """n paragraphs of one EM bin, memorized or non-memorized ones: clusters [n], and gradients as of `parameter_gradients`."""

    label: str
    colour: str
    clusters: np.ndarray
    gradients: Labelled

    @property
    def rows(self) -> int:
        return self.gradients.rows

    @property
    def cluster_count(self) -> int:
        return len(np.unique(self.clusters))


@dataclass(frozen=True, eq=False)
class Measured:
    """bins: those that have rows, lowest EM first. paragraphs: how many have a gradient; left_out: how many have none."""

    bins: Sequence[Group]
    memorized: Group
    non_memorized: Group
    paragraphs: int
    left_out: int

    @property
    def cells(self) -> tuple[Cell, ...]:
        return self.memorized.gradients.cells

    @property
    def layers(self) -> list[int]:
        return layers_of(self.cells)


def measure(material: Material, top_share: float, max_per_bin: int | None) -> Measured:
    """Raises UserError if there are no paragraphs, or none has a gradient."""
    known = [em_bin.label for em_bin in em_bins(material.paragraphs.continuation_length)]
    labels = known + sorted(set(material.bins) - set(known))
    # By place, the memorized bin's always the last; grey for what is no EM bin.
    colours = [*BIN_COLOURS[: len(known) - 1], BIN_COLOURS[-1], *[NEUTRAL] * (len(labels) - len(known))]
    wanted = [material.rows(material.in_bin(label), max_per_bin) for label in labels]
    wanted += [material.rows(group, max_per_bin) for group in (material.memorized, material.non_memorized)]
    read = torch.from_numpy(np.unique(torch.cat(wanted).numpy()))
    if not len(read):
        raise UserError("analysis parameter_gradients has no paragraphs to differentiate: give some in paragraphs=")
    pooled = parameter_gradients(material.model, material.weights, material.paragraphs.select(read), top_share)
    sums = pooled["total"].sum(1)
    usable = sums.isfinite() & (sums > 0)
    if not usable.any():
        raise UserError("no paragraph has a finite gradient other than 0: check the model's weights for NaN or inf")
    pooled, rows = pooled.select(usable), read[usable]

    def group(label: str, colour: str, positions: Tensor) -> Group:
        kept = positions[torch.isin(positions, rows)]
        return Group(label, colour, material.clusters[kept].numpy(), pooled.select(torch.searchsorted(rows, kept)))

    *bins, memorized, non_memorized = (
        group(label, colour, positions)
        for label, colour, positions in zip(
            [*labels, "memorized", "non-memorized"], [*colours, BIN_COLOURS[-1], BIN_COLOURS[0]], wanted, strict=True
        )
    )
    return Measured([one for one in bins if one.rows], memorized, non_memorized, len(rows), int((~usable).sum()))
