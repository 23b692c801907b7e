"""The figures of `attention_heads`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from memunlearn.analyses.heads_by_group import GroupOfRows
from memunlearn.charts.description import MEMORIZED, NON_MEMORIZED, Chart, Heat, Lines, Series
from memunlearn.statistics.estimates import Estimates, numbers_or_none
from memunlearn.words import number, p_value, rows

COLOURS = {"memorized": MEMORIZED, "non-memorized": NON_MEMORIZED}
Named = tuple[int, int]


def describe_charts(
    groups: Mapping[str, GroupOfRows],
    named: Named | None,
    curves: Mapping[tuple[str, str], Estimates] | None,
    sentences: Sequence[str],
) -> tuple[Chart, ...]:
    """named: (layer, head) of the head that prefers rare tokens most; curves: its attention by rank, by (set, which)."""
    dot = "" if named is None else f" The dot is head {named[1]} of layer {named[0]}."
    marked = [] if named is None else [named]
    charts = [
        Chart(
            name="attention_heads_frequency",
            caption=f"{sentences[0]}{dot}",
            alt="Heat maps of layers by heads, one a group of rows: Kendall's tau between attention and corpus frequency.",
            panels=tuple(
                _heat(f"{name} ({rows(group.rows)})", group.taus.tau, "Kendall's tau-b", marked, diverging=True)
                for name, group in groups.items()
            ),
            columns=3,
            shared=True,
        ),
    ]
    within = {name: group for name, group in groups.items() if not np.isnan(group.taus.within).all()}
    if within:
        charts.append(
            Chart(
                name="attention_heads_within_positions",
                caption=f"{_within_sentence(within)}{dot}",
                alt="Heat maps of layers by heads, one a group of rows: Kendall's tau over rows at the same position.",
                panels=tuple(
                    _heat(name, group.taus.within, "Kendall's tau-b at a position", marked, diverging=True)
                    for name, group in within.items()
                ),
                columns=3,
                shared=True,
            )
        )
    if named is not None and curves:
        charts.append(_ranks(named, curves))
        charts.append(
            Chart(
                name="attention_heads_correlation",
                caption=f"Heads of layer {named[0]} against each other, over occurrences. Head {named[1]}: {sentences[1]}",
                alt=f"Heat maps of heads by heads of layer {named[0]}, one a group of rows.",
                panels=tuple(
                    _heat(name, group.correlation[named[0]], "Pearson correlation", [], diverging=True, row_label="head")
                    for name, group in groups.items()
                ),
                columns=3,
                shared=True,
            )
        )
    charts.append(
        Chart(
            name="attention_heads_entropy",
            caption=f"{_entropy_sentence(groups['all'])}{dot}",
            alt="Heat maps of layers by heads, one a group of rows: entropy of the attention of the last prefix token.",
            panels=tuple(
                _heat(f"{name} ({rows(group.rows)})", group.entropy.value, "entropy (nats)", marked)
                for name, group in groups.items()
            ),
            columns=3,
            shared=True,
        )
    )
    return tuple(charts)


def _heat(
    title: str, values: np.ndarray, unit: str, marked: Sequence[Named], diverging: bool = False, row_label: str = "layer"
) -> Heat:
    return Heat(
        title=title,
        row_label=row_label,
        column_label="head",
        rows=[str(row) for row in range(values.shape[0])],
        columns=[str(column) for column in range(values.shape[1])],
        values=numbers_or_none(values),
        unit=unit,
        diverging=diverging,
        marked=list(marked),
    )


def _ranks(named: Named, curves: Mapping[tuple[str, str], Estimates]) -> Chart:
    series, rarest = [], []
    for (name, which), found in curves.items():
        reached = np.flatnonzero(~np.isnan(found.value))
        if not len(reached):
            continue
        own = which == "named"
        label = f"{name}, head {named[1]}" if own else f"{name}, mean of the others"
        series.append(
            Series(
                label,
                x=[float(rank + 1) for rank in reached],
                y=numbers_or_none(found.value[reached]),
                colour=COLOURS[name],
                marker="o" if own else "s",
                dash="-" if own else "--",
            )
        )
        rarest.append(f"{number(float(found.value[reached[0]]))} ({label})")
    return Chart(
        name="attention_heads_ranks",
        caption=(
            f"Attention that an occurrence of the rarest token of a prefix gets in layer {named[0]}: {', '.join(rarest)}. "
            "It describes these tokens: with other frequencies the same tokens could look like this."
        ),
        alt="Lines over the dense frequency rank of tokens within their prefix: a head and the others, by set.",
        panels=(
            Lines(
                f"Attention by frequency rank, layer {named[0]}",
                "dense rank of a token's corpus frequency in its prefix (1: rarest)",
                "mean attention per occurrence",
                tuple(series),
            ),
        ),
    )


def _within_sentence(groups: Mapping[str, GroupOfRows]) -> str:
    lowest = []
    for name, group in groups.items():
        layer, head = np.unravel_index(np.nanargmin(group.taus.within), group.taus.within.shape)
        tau, p = float(group.taus.within[layer, head]), float(group.taus.within_p[layer, head])
        lowest.append(f"{name}: head {head} of layer {layer} ({number(tau)}, {p_value(p)} corrected for all heads)")
    return (
        f"Lowest tau between rows at the same position, which position cannot explain: {', '.join(lowest)}. "
        "All: memorized and non-memorized rows, not those in neither set."
    )


def _entropy_sentence(group: GroupOfRows) -> str:
    shape = group.entropy.value.shape
    low, high = (np.unravel_index(pick(group.entropy.value), shape) for pick in (np.argmin, np.argmax))
    said = [f"head {cell[1]} of layer {cell[0]} ({number(float(group.entropy.value[cell]))} nats)" for cell in (low, high)]
    return f"The most focused is {said[0]}, the most spread out {said[1]}, over {rows(group.rows)}."
