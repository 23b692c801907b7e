"""What `em_nll` says, its table and notes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memunlearn.analyses.claims import TOO_FEW
from memunlearn.analyses.em_nll.charts import charts
from memunlearn.analyses.em_nll.compare import Compared
from memunlearn.analyses.em_nll.measure import Measured
from memunlearn.analyses.material import OVER_CLUSTERS, Material
from memunlearn.localization.labelled import Table
from memunlearn.results.finding import Finding
from memunlearn.statistics.two_groups import Comparison
from memunlearn.words import number, rows, with_interval


def tell(measured: Measured, compared: Compared, material: Material) -> Finding:
    numbers = compared.numbers
    told_apart = _told_apart(compared)
    by_bin = f"Mean NLL by EM bin, nats per token: {_by_bin(numbers['bins'])}."
    missing = [name for name in ("memorized", "non-memorized") if not numbers[name.replace("-", "_")]]
    return Finding(
        name="em_nll",
        title="EM and NLL of all paragraphs",
        sentences=(told_apart, *_prefixes(compared.prefix_area), by_bin, _whose_text(material)),
        unit=OVER_CLUSTERS,
        numbers=numbers,
        tables={"em_nll": _table(material)},
        charts=charts(measured, material, told_apart, by_bin),
        notes=tuple(f"No row is {name}: there is no AUROC." for name in missing),
    )


def _told_apart(compared: Compared) -> str:
    area = compared.area
    memorized, non_memorized = compared.numbers["memorized"], compared.numbers["non_memorized"]
    if area.value is None:
        return f"NLL cannot be asked to tell groups apart: {rows(memorized)} memorized, {rows(non_memorized)} non-memorized."
    said = f"A memorized paragraph has a lower NLL than a non-memorized one in {number(100 * area.value)} % of pairs"
    counts = f"{rows(memorized)} memorized, {non_memorized:,} non-memorized"
    if compared.by_definition:
        return (
            f"{said} (AUROC of -NLL, {counts}): no finding, since where EM is C each token is the model's most likely one, so "
            "that groups made by EM differ in NLL all but by definition."
        )
    return f"{said} (AUROC of -NLL, {_interval(area)}; {counts}){_verdict(area)}."


def _prefixes(area: Comparison) -> list[str]:
    if area.value is None:
        return []
    percent = number(100 * area.value)
    return [
        f"The prefix, which EM does not look at, has a lower NLL in memorized than in non-memorized paragraphs in {percent} % "
        f"of pairs (AUROC of -NLL, {_interval(area)}){_verdict(area)}."
    ]


def _interval(area: Comparison) -> str:
    if area.low is None or area.high is None:
        return TOO_FEW
    return f"95 % interval {number(100 * area.low)} to {number(100 * area.high)} %"


def _verdict(area: Comparison) -> str:
    if area.low is None or area.high is None:
        return ""
    if area.low > 0.5:
        return ": NLL tells them apart"
    return ": it is the higher one" if area.high < 0.5 else ": no better than chance"


def _by_bin(bins: Mapping[str, Any]) -> str:
    return ", ".join(f"EM {label}: {with_interval(found['nll'])}, {rows(found['n'])}" for label, found in bins.items())


def _whose_text(material: Material) -> str:
    length = material.paragraphs.continuation_length
    recited = int((material.scores.em == length).sum())
    share = f"{recited:,} of {rows(len(material.paragraphs))} are recited whole (EM {length})"
    if material.self_generated:
        return f"The continuations appear to be the model's own output, so that EM compares it with itself (self-EM); {share}."
    return f"The continuations are taken for the paragraphs' own text, as they were given; {share}."


def _table(material: Material) -> Table:
    scores = material.scores
    return {
        "row": list(range(len(material.paragraphs))),
        "origin": list(material.paragraphs.origin),
        "cluster": material.clusters.tolist(),
        "bin": list(material.bins),
        "memorized": material.memorized.tolist(),
        "non_memorized": material.non_memorized.tolist(),
        "em": scores.em.tolist(),
        "nll": scores.nll.tolist(),
        **{key: values.tolist() for key, values in scores.values.items() if key not in ("em", "nll", "kl")},
    }
