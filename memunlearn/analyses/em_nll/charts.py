"""The figures of `em_nll`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from scipy.stats import rankdata
from torchmetrics.functional.classification import binary_roc

from memunlearn.analyses.em_nll.measure import Measured
from memunlearn.analyses.material import Material
from memunlearn.charts.description import BIN_COLOURS, NEUTRAL, Chart, Distributions, Group, Lines, Scatter, Series
from memunlearn.charts.looks import evenly
from memunlearn.paragraphs.bins import em_bins
from memunlearn.words import rows

MARKERS: tuple[Literal["o", "s", "D", "^"], ...] = ("o", "s", "D", "^")
ROC_POINTS = 200


def charts(measured: Measured, material: Material, told_apart: str, by_bin: str) -> tuple[Chart, ...]:
    """told_apart, by_bin: sentences of the finding, the captions."""
    scatter = _scatter(measured, material, f"{told_apart} {by_bin}")
    memorized = measured.memorized[measured.compared]
    if not memorized.any() or memorized.all():
        return (scatter,)
    return scatter, _roc(-measured.nll[measured.compared], memorized, told_apart)


def _colours(members: Mapping[str, np.ndarray], continuation_length: int) -> dict[str, str]:
    defined = [em_bin.label for em_bin in em_bins(continuation_length)]
    if len(defined) == len(BIN_COLOURS) and set(members) <= set(defined):
        return dict(zip(defined, BIN_COLOURS, strict=True))
    ends = {0: BIN_COLOURS[0], len(members) - 1: BIN_COLOURS[-1]} if len(members) > 1 else {}
    middle = (*BIN_COLOURS[1:-1], *[NEUTRAL] * len(members))
    return {label: ends.get(place, middle[max(0, place - 1)]) for place, label in enumerate(members)}


def _scatter(measured: Measured, material: Material, caption: str) -> Chart:
    colours = _colours(measured.members, material.paragraphs.continuation_length)
    series, groups = [], []
    for place, (label, member) in enumerate(measured.members.items()):
        drawn = evenly(np.flatnonzero(member).tolist())
        nll = measured.nll[drawn].tolist()
        of_all = "" if len(drawn) == member.sum() else f", {len(drawn):,} drawn"
        name, marker = f"EM {label} ({rows(int(member.sum()))}{of_all})", MARKERS[place % len(MARKERS)]
        series.append(
            Series(
                label=name,
                x=measured.em[drawn].tolist(),
                y=nll,
                colour=colours[label],
                marker=marker,
                text=[material.paragraphs.origin[row] for row in drawn],
            )
        )
        groups.append(Group(label=f"EM {label}", values=nll, colour=colours[label], name=name, marker=marker))
    log = bool((measured.nll > 0).all())
    scale = "NLL (nats per token" + (", log scale)" if log else ")")
    return Chart(
        name="em_nll",
        caption=caption,
        alt="Left: a point a paragraph, NLL over EM, coloured by EM bin. Right: the NLL of each EM bin with its quartiles.",
        panels=(
            Scatter(title="All paragraphs", x_label="EM (tokens)", y_label=scale, series=tuple(series), log_y=log),
            Distributions(title="By EM bin", y_label=scale, groups=tuple(groups), log_y=log),
        ),
    )


def _roc(scores: np.ndarray, memorized: np.ndarray, caption: str) -> Chart:
    # torchmetrics takes scores outside 0..1 for logits, whose sigmoid would round close ones to ties: ranks keep the order.
    ranks = torch.from_numpy(rankdata(scores) / (len(scores) + 1))
    false, true, _ = binary_roc(ranks, torch.from_numpy(memorized).long())
    places = np.unique(np.linspace(0, len(false) - 1, min(len(false), ROC_POINTS)).astype(int))
    curve = Series(label="-NLL", x=false[places].tolist(), y=true[places].tolist(), colour=BIN_COLOURS[-1], marker="none")
    chance = Series(label="chance", x=[0.0, 1.0], y=[0.0, 1.0], colour=NEUTRAL, marker="none", dash="--")
    return Chart(
        name="em_nll_roc",
        caption=caption,
        alt="The share of memorized rows over the share of non-memorized rows whose NLL lies below a threshold, with chance.",
        panels=(
            Lines(
                title="Memorized or not, by NLL",
                x_label="share of non-memorized rows below the threshold",
                y_label="share of memorized rows below it",
                series=(curve, chance),
            ),
        ),
    )
