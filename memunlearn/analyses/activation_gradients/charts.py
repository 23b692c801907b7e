"""The figures of `activation_gradients`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from memunlearn.analyses.activation_gradients.compare import Compared, Family, component_means
from memunlearn.analyses.activation_gradients.measure import Measured
from memunlearn.analyses.claims import SIGNIFICANT
from memunlearn.analyses.panels import COLOURS, band, heat_map, layers_by_components
from memunlearn.charts.description import Chart, Heat, Lines, Series
from memunlearn.localization.labelled import Cell, Table
from memunlearn.models.architectures import KINDS
from memunlearn.words import counted, with_interval

SHARE = "% of the gradient"


def charts(measured: Measured, compared: Compared, positions: Table) -> tuple[Chart, ...]:
    """Figures that the groups allow: comparisons only where there are two groups, twins only where there are any."""
    numbers = compared.numbers
    made = [_shares(measured, numbers), _raw(measured, numbers)]
    if compared.is_tested:
        made += [_difference(compared.families["components"]), _heads(compared.families["heads"])]
    made += [_positions(positions, measured.prefix_length, numbers)]
    made.append(_layers_by_position(measured))
    if numbers["largest_distance"] is not None:
        made.append(_twins(compared))
    return tuple(made)


def percent(value: float) -> str:
    return f"{100 * value:.2f} %" if value < 0.1 else f"{100 * value:.1f} %"


def lower_half(numbers: Mapping[str, Any]) -> str:
    count = numbers["layers_in_lower_half"]
    return "in layer 0" if count == 1 else f"in the lower half of the layers (0 to {count - 1})"


def shares_in_words(numbers: Mapping[str, Any], key: str, of: str) -> str:
    """Of each group, with its interval; of: `for {}`, with a place for the group's name."""
    return " and ".join(
        f"{with_interval(group[key] | {'value': group[key]['mean']}, say=percent)} {of.format(label)}"
        for label, group in numbers["groups"].items()
    )


def distance_in_words(numbers: Mapping[str, Any]) -> str:
    best = numbers["largest_distance"]
    return (
        "The gradients of a paragraph and its perturbed twin differ most in "
        f"{Cell(best['layer'], best['component'], None)}: mean cosine distance "
        f"{with_interval(best | {'value': best['distance']}, say='{:.2f}'.format)}, over {counted(best['rows'], 'pair')}."
    )


def _counted(label: str, numbers: Mapping[str, Any]) -> str:
    group = numbers["groups"][label]
    return f"{counted(group['rows'], 'row')} in {counted(group['clusters'], 'cluster')}"


def _shares(measured: Measured, numbers: Mapping[str, Any]) -> Chart:
    panels = []
    for label, group in measured.groups.items():
        components, _, share = component_means(group)
        panels.append(layers_by_components(f"{label}, {_counted(label, numbers)}", components, 100 * share.mean(0), SHARE))
    said = shares_in_words(numbers, "lower_half_share", "for {}")
    return Chart(
        name="activation_gradients_shares",
        caption=f"The share of the activation gradient {lower_half(numbers)} is {said} text.",
        alt="Heat maps, layers by components: the share of the activation gradient, for each group.",
        panels=tuple(panels),
        shared=True,
    )


def _raw(measured: Measured, numbers: Mapping[str, Any]) -> Chart:
    panels = []
    for label, group in measured.groups.items():
        components, magnitude, _ = component_means(group)
        title = f"{label}, {_counted(label, numbers)}"
        panels.append(layers_by_components(title, components, magnitude.mean(0), "nats per unit of activation"))
    means = " and ".join(f"{group['magnitude']:.2g} for {label} text" for label, group in numbers["groups"].items())
    return Chart(
        name="activation_gradients_raw",
        caption=f"Mean absolute gradient of NLL by activation, not divided by the paragraph's total: {means} over all "
        "components.",
        alt="Heat maps, layers by components: the mean absolute activation gradient, for each group.",
        panels=tuple(panels),
        shared=True,
    )


def _difference(family: Family) -> Chart:
    marked, heat = _compared(family.cells, family, "memorized minus non-memorized")
    return Chart(
        name="activation_gradients_difference",
        caption=f"Difference of the shares; {marked} of {len(family.cells)} cells differ beyond chance (dots: p < "
        f"{SIGNIFICANT}, max-T corrected over all of them, clusters permuted).",
        alt="Heat map, layers by components: memorized minus non-memorized share of the activation gradient.",
        panels=(heat,),
        columns=1,
    )


def _heads(family: Family) -> Chart:
    by_kind = {kind: [cell for cell in family.cells if cell.kind == kind] for kind in KINDS[:4]}
    panels = [_compared(cells, family, kind) for kind, cells in by_kind.items() if cells]
    marked = sum(count for count, _ in panels)
    return Chart(
        name="activation_gradients_heads",
        caption=f"Difference of the shares by attention head, memorized minus non-memorized: {marked} heads differ beyond "
        f"chance (dots: p < {SIGNIFICANT}, max-T corrected over {len(family.cells)} cells, MLPs among them, clusters "
        "permuted).",
        alt="Heat maps of q, k, v and head output, layers by heads: memorized minus non-memorized share of the activation "
        "gradient.",
        panels=tuple(heat for _, heat in panels),
        shared=True,
    )


def _compared(cells: Sequence[Cell], family: Family, title: str) -> tuple[int, Heat]:
    """(number of marked cells, their heat map) of some cells of the family."""
    assert family.test is not None
    at = [family.cells.index(cell) for cell in cells]
    marked = [cell for cell, p in zip(cells, family.test.p[at], strict=True) if p < SIGNIFICANT]
    values = 100 * family.test.difference[at]
    return len(marked), layers_by_components(title, cells, values, "percentage points", diverging=True, marked=marked)


def _positions(table: Table, prefix_length: int, numbers: Mapping[str, Any]) -> Chart:
    series = []
    for label in numbers["groups"]:
        at = [place for place, name in enumerate(table["set"]) if name == label]
        share, low, high = (band([table[name][place] for place in at], 100) for name in ("share", "low", "high"))
        x = [table["position"][place] for place in at]
        title = f"{label} ({_counted(label, numbers)})"
        series.append(Series(label=title, x=x, y=share or [], colour=COLOURS[label], low=low, high=high, marker="none"))
    panel = Lines(
        title=f"prefix: 0 to {prefix_length - 1}; continuation: after",
        x_label="token position",
        y_label=SHARE,
        series=tuple(series),
    )
    said = shares_in_words(numbers, "prefix_share", "of the {}")
    return Chart(
        name="activation_gradients_positions",
        caption=f"Of the activation gradient {said} lies at prefix positions (bands: 95 % intervals over clusters).",
        alt="Lines over token positions: the share of the activation gradient, for each group.",
        panels=(panel,),
        columns=1,
    )


def _layers_by_position(measured: Measured) -> Chart:
    layer = torch.tensor([cell.layer for cell in measured.cells])
    panels, said = [], []
    for label, group in measured.groups.items():
        values = group.gradients["share_by_position"]
        by_layer = values.new_zeros(int(layer.max()) + 1, values.shape[1]).index_add_(0, layer, values).numpy()
        peak = np.unravel_index(by_layer.argmax(), by_layer.shape)
        said.append(f"layer {peak[0]}, position {peak[1]} for {label} text")
        panels.append(heat_map(label, 100 * by_layer, SHARE, column_label="token position"))
    return Chart(
        name="activation_gradients_layers_positions",
        caption=f"All components together, the gradient is largest at {' and at '.join(said)}; the prefix ends at "
        f"{measured.prefix_length - 1}.",
        alt="Heat maps, layers by token positions: the share of the activation gradient, for each group.",
        panels=tuple(panels),
        columns=1,
        shared=True,
    )


def _twins(compared: Compared) -> Chart:
    table = compared.distances
    cells = [Cell(layer, kind, None) for layer, kind in zip(table["layer"], table["component"], strict=True)]
    values = np.array(table["distance"], dtype=np.float64)
    heat = layers_by_components("paragraph and perturbed twin", cells, values, "cosine distance (0: same direction)")
    return Chart(
        name="activation_gradients_twins",
        caption=distance_in_words(compared.numbers),
        alt="Heat map, layers by components: cosine distance between the gradients of a paragraph and of its perturbed twin.",
        panels=(heat,),
        columns=1,
    )
