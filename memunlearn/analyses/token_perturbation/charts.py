"""The figures of `token_perturbation`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from memunlearn.analyses.panels import COLOURS, band, heat_map
from memunlearn.analyses.token_perturbation.compare import Compared
from memunlearn.analyses.token_perturbation.measure import SETS, PerturbedRows
from memunlearn.charts.description import Chart, Distributions, Group, Lines, Series
from memunlearn.statistics.estimates import numbers_or_none
from memunlearn.words import rows

MARKERS: dict[str, Literal["o", "s"]] = {SETS[0]: "o", SETS[1]: "s"}
ROWS_SHOWN = 30
LABELS = (
    ("Drop in EM", "Mean drop in EM", "drop in EM (tokens)"),
    ("Rise in NLL", "Mean rise in NLL", "rise in NLL (nats per token)"),
)


def charts(perturbed: PerturbedRows, compared: Compared, sentences: Sequence[str]) -> tuple[Chart, ...]:
    """sentences: of the finding, the captions."""
    made = [
        Chart(
            name="token_perturbation_by_position",
            caption=sentences[0],
            alt="Two panels of lines over the position of the replaced prefix token, one line a set with its interval.",
            panels=tuple(_lines(title, label, compared, which) for which, (title, _, label) in enumerate(LABELS)),
        ),
        Chart(
            name="token_perturbation_by_row",
            caption=f"Means over all positions, a row each: {sentences[0][0].lower()}{sentences[0][1:]}",
            alt="Two panels of points with boxes, one box a set: mean drop in EM and mean rise in NLL of every row.",
            panels=tuple(
                Distributions(title=title, y_label=label, groups=_groups(perturbed, values))
                for (_, title, label), values in zip(LABELS, perturbed.per_row, strict=True)
            ),
        ),
        _heat_maps(perturbed, sentences[1]),
    ]
    if not np.isnan(compared.taus).all():
        groups = _groups(perturbed, compared.taus)
        made.append(
            Chart(
                name="token_perturbation_frequency",
                caption=" ".join(sentences[2:]),
                alt="Points with boxes, one box a set: Kendall's tau of every row.",
                panels=(
                    Distributions(title="Drop in EM and corpus frequency", y_label="Kendall's tau-b of a row", groups=groups),
                ),
            )
        )
    return tuple(made)


def _lines(title: str, label: str, compared: Compared, which: int) -> Lines:
    series = []
    for name, two in compared.by_position.items():
        found = two[which]
        series.append(
            Series(
                label=f"{name} ({rows(int(found.rows.max()))})",
                x=[float(position) for position in range(len(found.value))],
                y=numbers_or_none(found.value),
                colour=COLOURS[name],
                low=band(numbers_or_none(found.low)),
                high=band(numbers_or_none(found.high)),
                marker=MARKERS[name],
            )
        )
    return Lines(title=title, x_label="position of the replaced prefix token", y_label=label, series=tuple(series), zero=True)


def _groups(perturbed: PerturbedRows, values: np.ndarray) -> tuple[Group, ...]:
    by_set = {name: values[perturbed.of(name) & ~np.isnan(values)].tolist() for name in SETS}
    return tuple(Group(label=name, values=found, colour=COLOURS[name]) for name, found in by_set.items() if found)


def _heat_maps(perturbed: PerturbedRows, caption: str) -> Chart:
    panels = []
    for name in perturbed.present:
        members = np.flatnonzero(perturbed.of(name))
        shown, total = members[:ROWS_SHOWN], len(members)
        panels.append(
            heat_map(
                f"{name}: " + (f"the first {len(shown)} of {rows(total)}" if total > len(shown) else rows(total)),
                perturbed.em_drop[shown],
                "drop in EM (tokens)",
                row_label="row",
                column_label="position of the replaced prefix token",
                rows=perturbed.rows[shown].tolist(),
            )
        )
    return Chart(
        name="token_perturbation_rows",
        caption=caption,
        alt="Heat maps, one a set: a line a paragraph, a column a prefix position, coloured by the drop in EM.",
        panels=tuple(panels),
        shared=True,
    )
