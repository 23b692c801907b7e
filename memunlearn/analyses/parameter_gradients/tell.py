"""What `parameter_gradients` says, its numbers, tables and notes."""

from __future__ import annotations

from typing import Any

import numpy as np

from memunlearn.analyses.claims import SIGNIFICANT
from memunlearn.analyses.material import OVER_CLUSTERS
from memunlearn.analyses.parameter_gradients.charts import charts, percent
from memunlearn.analyses.parameter_gradients.compare import Compared
from memunlearn.analyses.parameter_gradients.measure import Group, Measured
from memunlearn.localization.labelled import Table, stacked, table_of
from memunlearn.localization.parameter_gradients import layer_spread, layer_total, layer_variance, layers_of, shares
from memunlearn.results.finding import Finding
from memunlearn.statistics.estimates import means_with_intervals
from memunlearn.statistics.intervals import FEWEST_CLUSTERS, too_few_clusters
from memunlearn.statistics.permutation import UNEQUAL_SPREADS, MaxT


def tell(measured: Measured, compared: Compared | None, top_share: float, seed: int, self_generated: bool) -> Finding:
    layers = stacked([_layers(one, seed) for one in measured.bins])
    tables = {
        "parameter_gradients_cells": stacked([_cells(one) for one in measured.bins]),
        "parameter_gradients_layers": layers,
    }
    if compared is not None:
        tables["parameter_gradients_difference"] = _differences(compared)
    return Finding(
        name="parameter_gradients",
        title="Parameter gradients: where memorized paragraphs would change the model",
        sentences=_sentences(measured, compared),
        unit=OVER_CLUSTERS,
        numbers=_numbers(measured, compared),
        tables=tables,
        charts=charts(measured.bins, compared, layers, top_share),
        notes=_notes(measured, compared, self_generated),
    )


def _cells(one: Group) -> Table:
    """A row a cell: means over the paragraphs of a bin."""
    g = one.gradients
    means = {
        "top_mean": g["top_mean"],
        "top_mean_share": shares(g["top_mean"]),
        "sum": g["total"],
        "sum_share": shares(g["total"]),
        "variance": g["variance"],
    }
    sizes = {"weights": g["size"].long(), "paragraphs": np.array(one.rows)}
    return table_of({"cell": g.cells}, sizes | {name: values.mean(0) for name, values in means.items()}, bin=one.label)


def _layers(one: Group, seed: int) -> Table:
    """A row a layer: means over the paragraphs of a bin with 95 % intervals over clusters (None: see `Estimates`)."""
    g = one.gradients
    quantities = {
        "sum": layer_total(g),
        "sum_share": shares(layer_total(g)),
        "variance": layer_variance(g),
        "variance_over_cells": layer_spread(g),
    }
    columns: dict[str, Any] = {"paragraphs": np.array(one.rows), "clusters": np.array(one.cluster_count)}
    for name, values in quantities.items():
        limits = (0.0, 1.0 if name == "sum_share" else np.inf)
        found = means_with_intervals(values.numpy(), one.clusters, seed, limits=limits)
        columns |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    sums = [float(of_layer.sum()) for of_layer in quantities["sum"].T]
    return table_of({"layer": layers_of(g.cells)}, columns | {"sum_over_paragraphs": sums}, bin=one.label)


def _differences(compared: Compared) -> Table:
    test = compared.test
    values = {
        "memorized_share": compared.memorized,
        "non_memorized_share": compared.non_memorized,
        "difference": compared.difference,
        "t": np.array(np.nan) if test is None else test.t,
        "p_corrected": np.array(np.nan) if test is None else test.p,
    }
    return table_of({"cell": compared.cells}, values)


def _smallest_p(test: MaxT | None) -> float | None:
    return None if test is None else float(test.p.min())


def _numbers(measured: Measured, compared: Compared | None) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "cells": len(measured.cells),
        "bins": {one.label: {"paragraphs": one.rows, "clusters": one.cluster_count} for one in measured.bins},
    }
    if compared is None:
        return numbers
    numbers |= {
        "significant_more": None if compared.test is None else len(compared.more),
        "significant_less": None if compared.test is None else len(compared.less),
        "smallest_p": _smallest_p(compared.test),
        "gradient_ratio": compared.ratio,
        "gradient_ratio_p": _smallest_p(compared.ratio_test),
    }
    if len(measured.layers) > 1:
        for i, (name, layers) in enumerate((("lower_third", compared.lower), ("upper_third", compared.upper))):
            numbers[name] = {
                "layers": list(layers),
                "memorized_share": float(compared.ends[0][i]),
                "non_memorized_share": float(compared.ends[1][i]),
                "p": None if compared.ends_test is None else float(compared.ends_test.p[i]),
            }
    return numbers


def _sentences(measured: Measured, compared: Compared | None) -> tuple[str, ...]:
    if compared is None:
        bins = len(measured.bins)
        read = f"Gradients of {measured.paragraphs} paragraphs in {bins} EM bin{'s' * (bins > 1)} were read"
        return (f"{read}; memorized and non-memorized ones cannot be compared, since one of the two groups is empty.",)
    said = (_cells_sentence(compared), _size_sentence(compared))
    return said if len(measured.layers) < 2 else (_ends_sentence(compared), *said)


def _size_sentence(compared: Compared) -> str:
    ratio, test = compared.ratio, compared.ratio_test
    if test is None:
        return f"In size the whole gradients of the two groups have a ratio of {ratio:.2g}; too few clusters for more."
    told = f"geometric means over clusters, p = {test.p[0]:.2g}"
    if test.p[0] >= SIGNIFICANT:
        return f"In size no difference is seen between the whole gradients of the two groups (ratio {ratio:.2g}; {told})."
    return (
        f"In size the whole gradient of a memorized paragraph is {max(ratio, 1 / ratio):.2g} times "
        f"{'larger' if ratio >= 1 else 'smaller'} than that of a non-memorized one ({told})."
    )


def _ends_sentence(compared: Compared) -> str:
    test = compared.ends_test
    parts = []
    for i, (name, layers) in enumerate((("lower", compared.lower), ("upper", compared.upper))):
        memorized, non_memorized = (percent(side[i]) for side in compared.ends)
        where = f"the {name} third of the layers ({layers[0]}{f'-{layers[-1]}' * (len(layers) > 1)})"
        told = "" if test is None else f" (p = {test.p[i]:.2g})"
        parts.append(
            f"{where} holds {memorized} of the gradient of memorized, {non_memorized} of non-memorized paragraphs{told}"
        )
    if test is None:
        verdict = "Too few clusters to tell whether memorized gradients lie lower"
    elif test.p.min() >= SIGNIFICANT:
        verdict = "No difference is seen in how far down the gradients of memorized paragraphs lie"
    else:
        signs = np.where(test.p < SIGNIFICANT, np.sign(test.difference), 0)
        lower = signs[0] - signs[1]
        place = "lower" if lower > 0 else "higher" if lower < 0 else "both lower and higher, or in the middle,"
        verdict = f"Gradients of memorized paragraphs are concentrated in {place} layers relative to non-memorized ones"
    return f"{verdict}: {' and '.join(parts)}."


def _cells_sentence(compared: Compared) -> str:
    test, more, less, count = compared.test, compared.more, compared.less, len(compared.cells)
    if test is None:
        return "Too few clusters to test single cells."
    if not len(more) + len(less):
        return f"None of {count} cells differs in its share after correction (smallest p = {test.p.min():.2g})."
    said = f"{len(more) + len(less)} of {count} cells differ in their share after correction (p < {SIGNIFICANT})"
    said += f": {len(more)} have more in memorized paragraphs, {len(less)} less"
    if len(more):
        top = more[compared.difference[more].argmax()]
        shown = f"{percent(compared.memorized[top])} against {percent(compared.non_memorized[top])}"
        said += f"; the largest excess is {compared.cells[top]}, {shown}"
    return f"{said}."


def _notes(measured: Measured, compared: Compared | None, self_generated: bool) -> tuple[str, ...]:
    notes = [
        "Shares: a cell's number over the sum of all cells' of the same paragraph. Comparisons of memorized with non-memorized "
        "weigh every cluster the same; means of bins weigh every paragraph the same."
    ]
    if measured.left_out:
        notes.append(f"{measured.left_out} paragraphs were left out: their gradient is 0 everywhere, or not finite.")
    for group in (measured.memorized, measured.non_memorized):
        if not group.rows:
            notes.append(f"There is no {group.label} paragraph: nothing is compared.")
    if few := [one.label for one in measured.bins if too_few_clusters(one.cluster_count)]:
        notes.append(f"No interval for EM {', '.join(few)}: fewer than {FEWEST_CLUSTERS} clusters.")
    if compared is not None:
        few_clusters = f"No test: memorized or non-memorized paragraphs form fewer than {FEWEST_CLUSTERS} clusters."
        notes.append(few_clusters if compared.test is None else UNEQUAL_SPREADS)
    if self_generated:
        notes.append(
            "Continuations appear to be the model's own output: their NLL is low also where the true text is not known."
        )
    return tuple(notes)
