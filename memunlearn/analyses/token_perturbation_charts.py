"""The figures of `token_perturbation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from memunlearn.analyses.perturbed_rows import SETS, PerturbedRows
from memunlearn.charts.description import MEMORIZED, NON_MEMORIZED, Chart, Distributions, Group, Heat, Lines, Series
from memunlearn.statistics.estimates import Estimates, numbers_or_none
from memunlearn.words import rows

COLOURS = dict(zip(SETS, (MEMORIZED, NON_MEMORIZED), strict=True))
MARKERS: dict[str, Literal["o", "s"]] = {SETS[0]: "o", SETS[1]: "s"}
ROWS_SHOWN = 30
ONE_ROW = "a row each"


def describe_charts(
    perturbed: PerturbedRows,
    by_position: Mapping[str, tuple[Estimates, Estimates]],
    per_row: tuple[np.ndarray, np.ndarray],
    taus: np.ndarray,
    sentences: Sequence[str],
) -> tuple[Chart, ...]:
    """per_row: mean drop in EM and mean rise in NLL, [n] each; taus: [n]; sentences: of the finding, the captions."""
    charts = [
        Chart(
            name="token_perturbation_by_position",
            caption=sentences[0],
            alt="Two panels of lines over the position of the replaced prefix token, one line a set with its interval.",
            panels=(
                _lines("Drop in EM", "drop in EM (tokens)", by_position, 0),
                _lines("Rise in NLL", "rise in NLL (nats per token)", by_position, 1),
            ),
        ),
        Chart(
            name="token_perturbation_by_row",
            caption=f"Means over all positions, {ONE_ROW}: {sentences[0][0].lower()}{sentences[0][1:]}",
            alt="Two panels of points with boxes, one box a set: mean drop in EM and mean rise in NLL of every row.",
            panels=(
                Distributions("Mean drop in EM", "drop in EM (tokens)", _groups(perturbed, per_row[0])),
                Distributions("Mean rise in NLL", "rise in NLL (nats per token)", _groups(perturbed, per_row[1])),
            ),
        ),
        _heat_maps(perturbed, sentences[1]),
    ]
    if not np.isnan(taus).all():
        charts.append(
            Chart(
                name="token_perturbation_frequency",
                caption=" ".join(sentences[2:]),
                alt="Points with boxes, one box a set: Kendall's tau of every row.",
                panels=(
                    Distributions("Drop in EM and corpus frequency", "Kendall's tau-b of a row", _groups(perturbed, taus)),
                ),
            )
        )
    return tuple(charts)


def _lines(title: str, label: str, by_position: Mapping[str, tuple[Estimates, Estimates]], which: int) -> Lines:
    series = []
    for name, pair in by_position.items():
        found = pair[which]
        there = not np.isnan(found.low).all()
        series.append(
            Series(
                f"{name} ({rows(int(found.rows.max()))})",
                x=[float(position) for position in range(len(found.value))],
                y=numbers_or_none(found.value),
                colour=COLOURS[name],
                low=numbers_or_none(found.low) if there else None,
                high=numbers_or_none(found.high) if there else None,
                marker=MARKERS[name],
            )
        )
    return Lines(title, "position of the replaced prefix token", label, tuple(series), zero=True)


def _groups(perturbed: PerturbedRows, values: np.ndarray) -> tuple[Group, ...]:
    groups = []
    for name in SETS:
        found = values[perturbed.of(name) & ~np.isnan(values)]
        if len(found):
            groups.append(Group(name, found.tolist(), COLOURS[name]))
    return tuple(groups)


def _heat_maps(perturbed: PerturbedRows, caption: str) -> Chart:
    panels = []
    for name in SETS:
        shown = np.flatnonzero(perturbed.of(name))[:ROWS_SHOWN]
        if not len(shown):
            continue
        total = int(perturbed.of(name).sum())
        panels.append(
            Heat(
                title=f"{name}: " + (f"the first {len(shown)} of {rows(total)}" if total > len(shown) else rows(total)),
                row_label="row",
                column_label="position of the replaced prefix token",
                rows=[str(int(row)) for row in perturbed.rows[shown]],
                columns=[str(position) for position in range(perturbed.em_drop.shape[1])],
                values=numbers_or_none(perturbed.em_drop[shown]),
                unit="drop in EM (tokens)",
            )
        )
    return Chart(
        name="token_perturbation_rows",
        caption=caption,
        alt="Heat maps, one a set: a line a paragraph, a column a prefix position, coloured by the drop in EM.",
        panels=tuple(panels),
        shared=True,
    )
