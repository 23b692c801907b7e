"""The figures of `attention_heads`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from memunlearn.analyses.attention_heads.compare import Compared, GroupOfRows
from memunlearn.analyses.panels import COLOURS, heat_map
from memunlearn.charts.description import Chart, Lines, Series
from memunlearn.statistics.estimates import Estimates, numbers_or_none
from memunlearn.words import number, p_value, rows

Named = tuple[int, int]


def charts(compared: Compared, sentences: Sequence[str]) -> tuple[Chart, ...]:
    groups, named = compared.groups, compared.named
    dot = "" if named is None else f" The dot is head {named[1]} of layer {named[0]}."
    marked = [] if named is None else [named]

    def heat_maps(
        name: str,
        caption: str,
        alt: str,
        unit: str,
        of: Callable[[GroupOfRows], np.ndarray],
        *,
        shown: Mapping[str, GroupOfRows] = groups,
        counted: bool = True,
        diverging: bool = True,
    ) -> Chart:
        """Layers by heads, a panel a group."""
        panels = [
            heat_map(f"{label} ({rows(group.rows)})" if counted else label, of(group), unit, diverging=diverging, marked=marked)
            for label, group in shown.items()
        ]
        caption, alt = f"{caption}{dot}", f"Heat maps of layers by heads, one a group of rows: {alt}"
        return Chart(f"attention_heads_{name}", caption, alt, tuple(panels), columns=3, shared=True)

    alt = "Kendall's tau between attention and corpus frequency."
    made = [heat_maps("frequency", sentences[0], alt, "Kendall's tau-b", lambda group: group.taus.tau)]
    within = {name: group for name, group in groups.items() if not np.isnan(group.taus.within).all()}
    if within:
        made.append(
            heat_maps(
                "within_positions",
                _within_sentence(within),
                "Kendall's tau over rows at the same position.",
                "Kendall's tau-b at a position",
                lambda group: group.taus.within,
                shown=within,
                counted=False,
            )
        )
    if named is not None and compared.curves:
        made += [_ranks(named, compared.curves), _correlation(named, groups, sentences[1])]
    caption, alt = _entropy_sentence(groups["all"]), "entropy of the attention of the last prefix token."
    made.append(heat_maps("entropy", caption, alt, "entropy (nats)", lambda group: group.entropy.value, diverging=False))
    return tuple(made)


def _correlation(named: Named, groups: Mapping[str, GroupOfRows], sentence: str) -> Chart:
    panels = [
        heat_map(name, group.correlation[named[0]], "Pearson correlation", row_label="head", diverging=True)
        for name, group in groups.items()
    ]
    return Chart(
        name="attention_heads_correlation",
        caption=f"Heads of layer {named[0]} against each other, over occurrences. Head {named[1]}: {sentence}",
        alt=f"Heat maps of heads by heads of layer {named[0]}, one a group of rows.",
        panels=tuple(panels),
        columns=3,
        shared=True,
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
