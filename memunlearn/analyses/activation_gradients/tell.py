"""What `activation_gradients` says, its tables and notes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from memunlearn.analyses.activation_gradients.charts import charts, distance_in_words, lower_half, percent, shares_in_words
from memunlearn.analyses.activation_gradients.compare import Compared, component_means, with_interval
from memunlearn.analyses.activation_gradients.measure import Measured
from memunlearn.analyses.claims import SIGNIFICANT
from memunlearn.analyses.material import OVER_CLUSTERS
from memunlearn.localization.labelled import Cell, Table, stacked, table_of
from memunlearn.results.finding import Finding
from memunlearn.statistics.intervals import FEWEST_CLUSTERS
from memunlearn.statistics.permutation import UNEQUAL_SPREADS
from memunlearn.words import p_value


def tell(measured: Measured, compared: Compared, seed: int) -> Finding:
    tables = _tables(measured, compared, seed)
    return Finding(
        name="activation_gradients",
        title="Activation gradients",
        sentences=_sentences(compared.numbers),
        unit=OVER_CLUSTERS,
        numbers=compared.numbers,
        tables=tables,
        charts=charts(measured, compared, tables["activation_gradients_positions"]),
        notes=_notes(measured, compared),
    )


def _sentences(numbers: Mapping[str, Any]) -> tuple[str, ...]:
    """Most important first."""
    said = [_comparison(numbers["tests"]["heads"])]
    for key, where in (("lower_half_share", lower_half(numbers)), ("prefix_share", "at prefix positions")):
        said.append(
            f"The share of a paragraph's activation gradient {where} is {shares_in_words(numbers, key, 'for {} text')}."
        )
    return (*said, distance_in_words(numbers)) if numbers["largest_distance"] else tuple(said)


def _comparison(best: Mapping[str, Any] | None) -> str:
    if best is None:
        return f"Memorized and non-memorized text cannot be compared: that takes {FEWEST_CLUSTERS} clusters of each."
    cell = Cell(best["layer"], best["component"], best["head"])
    shares = (
        f"{percent(best['share']['memorized'])} of a paragraph's gradient against "
        f"{percent(best['share']['non-memorized'])}, {p_value(best['p'])} corrected for {best['cells']} cells"
    )
    if best["t"] <= 0:
        return "In no layer, component or head is the memorized share of the gradient above the non-memorized one."
    if best["p"] >= SIGNIFICANT:
        return (
            "In no layer, component or head does the memorized share of the gradient exceed the non-memorized one beyond "
            f"chance: nearest to it is {cell} ({shares})."
        )
    return (
        f"Memorized text has more of its gradient than non-memorized text in {best['exceeding']} of {best['cells']} cells, "
        f"most clearly in {cell} ({shares}), and less in {best['below']}."
    )


def _tables(measured: Measured, compared: Compared, seed: int) -> dict[str, Table]:
    """Of groups: a row a cell (components, whose head is None, have an interval); a position; a cell and position.

    Of the comparison: a row a cell of either family, with p corrected over the family.
    """
    nothing: Table = {name: [] for name in ("family", "layer", "component", "head", "difference", "t", "p")}
    by_cell, positions, by_position = [], [], []
    for label, group in measured.groups.items():
        gradients, cells = group.gradients, group.gradients.cells
        components, magnitude, share = component_means(group)
        by_cell.append(
            table_of(
                {"cell": components},
                {"magnitude": [float(of_cell.mean()) for of_cell in magnitude.T]}
                | _intervals(share.numpy(), group.clusters, seed),
                set=label,
            )
        )
        heads = [place for place, cell in enumerate(cells) if cell.head is not None]
        means = {name: [float(gradients[name][:, place].mean()) for place in heads] for name in ("magnitude", "share")}
        without = dict.fromkeys(("low", "high"), np.full(len(heads), np.nan))
        by_cell.append(table_of({"cell": [cells[place] for place in heads]}, means | without, set=label))
        at = {"position": gradients.labels["position"]}
        positions.append(table_of(at, _intervals(gradients["position_share"].numpy(), group.clusters, seed), set=label))
        values = {"magnitude": gradients["by_position"], "share": gradients["share_by_position"]}
        by_position.append(table_of({"cell": cells} | at, values, set=label))
    tested = [
        table_of({"cell": family.cells}, {name: getattr(family.test, name) for name in ("difference", "t", "p")}, family=name)
        for name, family in compared.families.items()
        if family.test is not None
    ]
    return {
        "activation_gradients": stacked(by_cell),
        "activation_gradients_comparison": stacked([nothing, *tested]),
        "activation_gradients_positions": stacked(positions),
        "activation_gradients_by_position": stacked(by_position),
        "activation_gradients_twins": compared.distances,
    }


def _intervals(shares: np.ndarray, clusters: np.ndarray, seed: int) -> dict[str, list[float | None]]:
    """share, low and high of shares [n, cells]."""
    found = [with_interval(of_cell, clusters, seed) for of_cell in shares.T]
    keys = (("share", "mean"), ("low", "low"), ("high", "high"))
    return {name: [one[key] for one in found] for name, key in keys}


def _notes(measured: Measured, compared: Compared) -> tuple[str, ...]:
    notes = [
        "Gradients are pooled as the mean of absolute values over a cell's features and positions; a share is of the "
        "paragraph's total over all layers, components and positions. A component's share is the sum of its heads'.",
        "Tests give each cluster one vote (the mean of its rows); means in tables and heat maps are over rows.",
    ]
    missing = [label for label in ("memorized", "non-memorized") if label not in measured.groups]
    notes += [f"There are no {label} paragraphs: nothing is compared." for label in missing]
    if compared.is_tested:
        notes.append(UNEQUAL_SPREADS)
    elif not missing:
        notes.append(f"A group with fewer than {FEWEST_CLUSTERS} clusters cannot be tested: there are no p-values.")
    n, with_twin = measured.rows("memorized"), len(measured.twin_clusters)
    if with_twin < n:
        notes.append(
            f"{n - with_twin} of {n} memorized paragraphs have no perturbed twin: whatever prefix token is replaced, the model "
            "still says more than a fifth of the continuation in a row."
        )
    return tuple(notes)
