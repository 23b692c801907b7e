"""EM against NLL of every paragraph (paper, section 2 and figure 1): do memorized paragraphs stand apart?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from scipy.stats import rankdata
from torchmetrics.functional.classification import binary_roc

from memunlearn.analyses.in_words import TOO_FEW
from memunlearn.analyses.material import OVER_CLUSTERS, Material
from memunlearn.charts.colours import POINTS_AT_MOST
from memunlearn.charts.description import BIN_COLOURS, NEUTRAL, Chart, Distributions, Group, Lines, Scatter, Series
from memunlearn.errors import UserError
from memunlearn.paragraphs.bins import em_bins, is_memorized, is_non_memorized
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.results.finding import Finding
from memunlearn.scoring.score import score
from memunlearn.statistics.estimates import means_with_intervals
from memunlearn.statistics.two_groups import NOTHING, Comparison, auroc
from memunlearn.words import number, rows, with_interval

MARKERS: tuple[Literal["o", "s", "D", "^"], ...] = ("o", "s", "D", "^")
ROC_POINTS = 200


@dataclass(frozen=True)
class EMNLL:
    """A scatter of all paragraphs by EM bin; how well NLL alone tells memorized from non-memorized ones (AUROC).

    Where EM has made the groups, the NLL of continuations all but follows from it: each token of a recited one is the most
    likely there. What does not follow is the NLL of the prefixes, of which EM knows nothing: it is compared, too.
    """

    version: ClassVar[int] = 2

    def __call__(self, material: Material) -> Finding:
        """Raises UserError if there is no paragraph."""
        if not len(material.paragraphs):
            raise UserError("analysis.em_nll has no paragraph to show: give some in paragraphs.path or the sets by name")
        scores, clusters = material.scores, material.clusters.numpy()
        em, nll = scores.em.numpy().astype(np.float64), scores.nll.numpy().astype(np.float64)
        bins = _in_order(material.bins, material.paragraphs.continuation_length, em)
        members = {label: material.in_bin(label).numpy() for label in bins}
        numbers: dict[str, Any] = {"n": len(em), "clusters": len(np.unique(clusters)), "bins": {}}
        for label, member in members.items():
            numbers["bins"][label] = {"n": int(member.sum())} | {
                name: means_with_intervals(values[member], clusters[member], material.seed, limits=(0.0, most)).numbers()
                for name, values, most in (("em", em, material.paragraphs.continuation_length), ("nll", nll, np.inf))
            }
        memorized, non_memorized = material.memorized.numpy(), material.non_memorized.numpy()
        compared = memorized | non_memorized
        area = auroc(-nll[compared], memorized[compared], clusters[compared])
        by_definition = _made_by_em(material)
        prefix_nll = _prefix_nll(material, compared)
        before = auroc(-prefix_nll, memorized[compared], clusters[compared]) if len(prefix_nll) else NOTHING
        numbers |= {
            "auroc": area.numbers(),
            "auroc_by_definition": by_definition,
            "prefix_auroc": before.numbers(),
            "memorized": int(memorized.sum()),
            "non_memorized": int(non_memorized.sum()),
            "self_generated": material.self_generated,
        }
        told_apart = _told_apart(area, int(memorized.sum()), int(non_memorized.sum()), by_definition)
        by_bin = f"Mean NLL by EM bin, nats per token: {_by_bin(numbers['bins'])}."
        charts = [_scatter(material, members, em, nll, f"{told_apart} {by_bin}")]
        if area.value is not None:
            charts.append(_roc(-nll[compared], memorized[compared], told_apart))
        missing = [name for name, group in (("memorized", memorized), ("non-memorized", non_memorized)) if not group.any()]
        notes = [f"No row is {name}: there is no AUROC." for name in missing]
        return Finding(
            name="em_nll",
            title="EM and NLL of all paragraphs",
            sentences=(told_apart, *_prefixes(before), by_bin, _whose_text(material)),
            unit=OVER_CLUSTERS,
            numbers=numbers,
            tables={"em_nll": _table(material)},
            charts=tuple(charts),
            notes=tuple(notes),
        )


def _in_order(labels: Sequence[str], continuation_length: int, em: np.ndarray) -> list[str]:
    """The bins that have rows, lowest first: as they are defined, or by mean EM where the source has other ones."""
    present = sorted(set(labels), key=lambda label: em[[one == label for one in labels]].mean())
    defined = [em_bin.label for em_bin in em_bins(continuation_length)]
    return [label for label in defined if label in present] if set(present) <= set(defined) else present


def _colours(members: dict[str, np.ndarray], continuation_length: int) -> dict[str, str]:
    defined = [em_bin.label for em_bin in em_bins(continuation_length)]
    if len(defined) == len(BIN_COLOURS) and set(members) <= set(defined):
        return dict(zip(defined, BIN_COLOURS, strict=True))
    ends = {0: BIN_COLOURS[0], len(members) - 1: BIN_COLOURS[-1]} if len(members) > 1 else {}
    middle = (*BIN_COLOURS[1:-1], *[NEUTRAL] * len(members))
    return {label: ends.get(place, middle[max(0, place - 1)]) for place, label in enumerate(members)}


def _made_by_em(material: Material) -> bool:
    """Whether all memorized rows are recited whole, and no other row comes near: then EM made the groups, or could have."""
    em, length = material.scores.em, material.paragraphs.continuation_length
    recited, others = em[material.memorized], em[material.non_memorized]
    return bool(is_memorized(recited, length).all() and is_non_memorized(others, length).all())


def _prefix_nll(material: Material, compared: np.ndarray) -> np.ndarray:
    """[n] fp64, nats a token, of all prefix tokens but the first; [0] where there are no two, or no two groups to compare."""
    ids = material.paragraphs.ids[torch.from_numpy(compared), : material.paragraphs.prefix_length]
    if ids.shape[1] < 2 or not (material.memorized.any() and material.non_memorized.any()):
        return np.empty(0)
    prefixes = ParagraphSet(ids, 1, tuple(str(row) for row in range(len(ids))))
    return score(material.model, prefixes, material.batch_size, description="scoring prefixes").nll.double().numpy()


def _told_apart(area: Comparison, memorized: int, non_memorized: int, by_definition: bool) -> str:
    if area.value is None:
        return f"NLL cannot be asked to tell groups apart: {rows(memorized)} memorized, {rows(non_memorized)} non-memorized."
    said = f"A memorized paragraph has a lower NLL than a non-memorized one in {number(100 * area.value)} % of pairs"
    counts = f"{rows(memorized)} memorized, {non_memorized:,} non-memorized"
    if by_definition:
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
    return ": " + (
        "NLL tells them apart" if area.low > 0.5 else "it is the higher one" if area.high < 0.5 else "no better than chance"
    )


def _by_bin(bins: dict[str, Any]) -> str:
    return ", ".join(f"EM {label}: {with_interval(found['nll'])}, {rows(found['n'])}" for label, found in bins.items())


def _whose_text(material: Material) -> str:
    length = material.paragraphs.continuation_length
    recited = int((material.scores.em == length).sum())
    share = f"{recited:,} of {rows(len(material.paragraphs))} are recited whole (EM {length})"
    if material.self_generated:
        return f"The continuations appear to be the model's own output, so that EM compares it with itself (self-EM); {share}."
    return f"The continuations are taken for the paragraphs' own text, as they were given; {share}."


def _thinned(member: np.ndarray) -> np.ndarray:
    """Positions of at most POINTS_AT_MOST rows, evenly: more only hide each other."""
    positions = np.flatnonzero(member)
    count = min(len(positions), POINTS_AT_MOST)
    return positions[np.arange(count) * len(positions) // max(1, count)]


def _scatter(material: Material, members: dict[str, np.ndarray], em: np.ndarray, nll: np.ndarray, caption: str) -> Chart:
    colours = _colours(members, material.paragraphs.continuation_length)
    series, groups = [], []
    for place, (label, member) in enumerate(members.items()):
        drawn = _thinned(member)
        of_all = "" if len(drawn) == member.sum() else f", {len(drawn):,} drawn"
        series.append(
            Series(
                label=f"EM {label} ({rows(int(member.sum()))}{of_all})",
                x=em[drawn].tolist(),
                y=nll[drawn].tolist(),
                colour=colours[label],
                marker=MARKERS[place % len(MARKERS)],
                text=[material.paragraphs.origin[row] for row in drawn],
            )
        )
        groups.append(Group(f"EM {label}", nll[drawn].tolist(), colours[label]))
    log = bool((nll > 0).all())
    scale = "NLL (nats per token" + (", log scale)" if log else ")")
    return Chart(
        name="em_nll",
        caption=caption,
        alt="Left: a point a paragraph, NLL over EM, coloured by EM bin. Right: the NLL of each EM bin with its quartiles.",
        panels=(
            Scatter("All paragraphs", "EM (tokens)", scale, tuple(series), log_y=log),
            Distributions("By EM bin", scale, tuple(groups), log_y=log),
        ),
    )


def _roc(scores: np.ndarray, memorized: np.ndarray, caption: str) -> Chart:
    # torchmetrics takes scores outside 0..1 for logits, whose sigmoid would round close ones to ties: ranks keep the order.
    ranks = torch.from_numpy(rankdata(scores) / (len(scores) + 1))
    false, true, _ = binary_roc(ranks, torch.from_numpy(memorized).long())
    places = np.unique(np.linspace(0, len(false) - 1, min(len(false), ROC_POINTS)).astype(int))
    curve = Series("-NLL", false[places].tolist(), true[places].tolist(), BIN_COLOURS[-1], marker="none")
    chance = Series("chance", [0.0, 1.0], [0.0, 1.0], NEUTRAL, marker="none", dash="--")
    return Chart(
        name="em_nll_roc",
        caption=caption,
        alt="The share of memorized rows over the share of non-memorized rows whose NLL lies below a threshold, with chance.",
        panels=(
            Lines(
                "Memorized or not, by NLL",
                "share of non-memorized rows below the threshold",
                "share of memorized rows below it",
                (curve, chance),
            ),
        ),
    )


def _table(material: Material) -> dict[str, list[Any]]:
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
