"""The figures of `parameter_gradients`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memunlearn.analyses.claims import SIGNIFICANT
from memunlearn.analyses.panels import band, layers_by_components
from memunlearn.analyses.parameter_gradients.compare import Compared
from memunlearn.analyses.parameter_gradients.measure import Group
from memunlearn.charts.description import Chart, Heat, Lines, Series
from memunlearn.localization.labelled import Table
from memunlearn.localization.parameter_gradients import layer_total, layers_of, shares
from memunlearn.models.architectures import KINDS


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def charts(bins: Sequence[Group], compared: Compared | None, layers: Table, top_share: float) -> tuple[Chart, ...]:
    """layers: the table of layers."""
    made = (_raw(bins, top_share), _shares(bins), _layers(bins, layers))
    return made if compared is None else (*made, _difference(compared))


def _heat(one: Group, values: np.ndarray, unit: str) -> Heat:
    """Means over heads of values [cells]."""
    cells = one.gradients.cells
    of = {
        component: [i for i, cell in enumerate(cells) if cell.component == component]
        for component in (cell.component for cell in cells)
    }
    return layers_by_components(
        f"EM {one.label} (n = {one.rows})", list(of), [float(np.mean(values[places])) for places in of.values()], unit
    )


def _strongest(one: Group, values: np.ndarray) -> str:
    return f"{one.gradients.cells[int(values.argmax())]} for EM {one.label}"


def _raw(bins: Sequence[Group], top_share: float) -> Chart:
    means = [one.gradients["top_mean"].mean(0).numpy() for one in bins]
    strongest = "; ".join(_strongest(one, values) for one, values in zip(bins, means, strict=True))
    return Chart(
        name="parameter_gradients_bins",
        caption=f"Mean of the largest {percent(top_share)} of gradient magnitudes in each cell, mean over paragraphs (and over "
        f"heads); colour scales differ between panels; strongest cell: {strongest}.",
        alt="A heat map for each EM bin: layers by components, coloured by the size of the gradient.",
        panels=tuple(_heat(one, values, "|gradient|, nats per token") for one, values in zip(bins, means, strict=True)),
    )


def _shares(bins: Sequence[Group]) -> Chart:
    means = [100 * shares(one.gradients["top_mean"]).mean(0).numpy() for one in bins]
    strongest = "; ".join(f"{_strongest(one, values)} ({values.max():.3g} %)" for one, values in zip(bins, means, strict=True))
    return Chart(
        name="parameter_gradients_shares",
        caption=f"The same as shares of each paragraph's sum over all cells, so that the size of its loss does not matter "
        f"(colour: mean share of a cell); largest: {strongest}.",
        alt="A heat map for each EM bin: layers by components, coloured by the cell's share of the paragraph's gradient.",
        panels=tuple(_heat(one, values, "share of the gradient, %") for one, values in zip(bins, means, strict=True)),
        shared=True,
    )


def _layers(bins: Sequence[Group], layers: Table) -> Chart:
    panels = []
    for name, title, unit, scale in (
        ("sum", "Sum of magnitudes", "nats per token", 1),
        ("sum_share", "Share of the paragraph's sum", "%", 100),
        ("variance", "Variance over the layer's weights", "(nats per token)²", 1),
    ):
        series = []
        for one in bins:
            at = [place for place, label in enumerate(layers["bin"]) if label == one.label]
            x, y, low, high = ([layers[column][place] for place in at] for column in _columns(name))
            # A log axis has no place for 0: an interval that reaches it is drawn down to a third of its mean.
            floors = [value / 3 if scale == 1 else 0.0 for value in y]
            scaled = [scale * value for value in y]
            lows, highs = band(low, scale, floors), band(high, scale)
            series.append(Series(label=f"EM {one.label}", x=x, y=scaled, colour=one.colour, low=lows, high=highs))
        panels.append(Lines(title=title, x_label="layer", y_label=unit, series=tuple(series), log_y=scale == 1))
    return Chart(
        name="parameter_gradients_layers",
        caption=f"Gradients by layer, mean over the paragraphs of each EM bin (95 % intervals over clusters); {_peaks(bins)}.",
        alt="Three panels of lines over layers, a line for each EM bin: sum, share and variance of the gradient.",
        panels=tuple(panels),
        columns=3,
    )


def _columns(name: str) -> tuple[str, ...]:
    return "layer", name, f"{name}_low", f"{name}_high"


def _peaks(bins: Sequence[Group]) -> str:
    peaks = []
    for one in bins:
        share = shares(layer_total(one.gradients)).mean(0)
        layer = int(share.argmax())
        peaks.append(f"{layers_of(one.gradients.cells)[layer]} for EM {one.label} ({percent(float(share[layer]))})")
    return f"the layer with the largest share is {', '.join(peaks)}"


def _difference(compared: Compared) -> Chart:
    mlp = [kind for kind in KINDS if any((cell.kind, cell.head) == (kind, None) for cell in compared.cells)]
    panels = [
        _difference_panel(compared, (kind,), f"{kind}, by head")
        for kind in KINDS
        if kind not in mlp and any(cell.kind == kind for cell in compared.cells)
    ]
    if mlp:
        panels.append(_difference_panel(compared, mlp, "MLP"))
    told = (
        "no test with so few clusters"
        if compared.test is None
        else f"dots: p < {SIGNIFICANT}, corrected for all {len(compared.cells)} cells by exchanging clusters "
        f"({len(compared.more)} cells with more, {len(compared.less)} with less)"
    )
    return Chart(
        name="parameter_gradients_difference",
        caption=f"Share of the gradient in each cell, memorized minus non-memorized, in percentage points; {told}.",
        alt="Heat maps of layers by heads for q, k, v and out, and of layers by MLP matrices: red where memorized paragraphs "
        "have more of their gradient, blue where they have less.",
        panels=tuple(panels),
        columns=3,
        shared=True,
    )


def _difference_panel(compared: Compared, kinds: Sequence[str], title: str) -> Heat:
    at = [place for place, cell in enumerate(compared.cells) if cell.kind in kinds]
    marked = [compared.cells[i] for i in at if compared.test is not None and compared.test.p[i] < SIGNIFICANT]
    return layers_by_components(
        title,
        [compared.cells[i] for i in at],
        100 * compared.difference[at],
        "difference of shares, percentage points",
        diverging=True,
        marked=marked,
    )
