"""Do a model's scores give away which rows it was trained on: forgotten rows against rows that no model ever saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memunlearn.evaluation.text_classifier import told_by_text
from memunlearn.statistics.intervals import too_few_clusters
from memunlearn.statistics.two_groups import Comparison, auroc
from memunlearn.words import counted

# What tells members, and with which sign a larger value stands for "was trained on". A score that was not measured is left out.
SIGNS = {"nll": -1.0, "zlib": -1.0, "min_k": 1.0, "min_k_pp": 1.0}
REFERENCE = "reference"
BASE, UNLEARNED, ORACLE, SECOND_ORACLE = "base", "unlearned", "oracle", "second_oracle"
# Below this much room between the oracle's AUROC and 1 its ratio says nothing.
SMALLEST_ROOM = 0.05
MEMBERSHIP, SHIFT = "membership", "distribution shift"

Values = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Members:
    """ids: [N, I] of the forgotten rows and of the never-seen ones; forgotten: [N] bool; clusters: [N]. left_out: rows that
    were to be never-seen, but share a cluster with one that was used."""

    ids: Tensor
    forgotten: Tensor
    clusters: Tensor
    left_out: int = 0


def privleak(of_model: float | None, of_oracle: float | None) -> tuple[float | None, str | None]:
    """((1 - auc) - (1 - auc_oracle)) / (1 - auc_oracle) in %, and why there is none.

    Positive: over-unlearned, the rows look less familiar than to a model that never saw them. After MUSE (Shi et al., arXiv
    2407.06460), with the oracle in place of a retrained model's AUROC.
    """
    if of_oracle is None:
        return None, "there is no oracle's AUROC"
    if of_model is None:
        return None, "there is no AUROC"
    room = 1 - of_oracle
    if room < SMALLEST_ROOM:
        return None, f"the oracle's AUROC is {of_oracle:.3f}: with less than {SMALLEST_ROOM:g} to 1 the ratio says nothing"
    return 100 * ((1 - of_model) - room) / room, None


def membership(members: Members, models: Mapping[str, Values], seed: int = 0) -> dict[str, Any]:
    """AUROC of every score for every model, and that of a classifier which sees the text alone.

    models: by BASE, UNLEARNED, ORACLE and SECOND_ORACLE, those that are there: [N] each by the key of a metric. An AUROC is
    the probability that a forgotten row scores more like a row of the training data than a never-seen one, with its 95 %
    interval over clusters; the goal is the oracle's, not .5.

    The score `reference` is a row's NLL minus the oracle's; for the oracle itself, minus the second oracle's. Where the text
    alone tells the groups apart (its interval excludes .5), `figure` says that this is distribution shift and not membership.
    """
    scores: dict[str, dict[str, Any]] = {}
    for key, sign in SIGNS.items():
        of_models = {name: sign * values[key] for name, values in models.items() if name != SECOND_ORACLE and key in values}
        if of_models:
            scores[key] = _score(of_models, members)
    if ORACLE in models:
        scores[REFERENCE] = _score(_references(models), members)
        if SECOND_ORACLE not in models:
            scores[REFERENCE]["oracle_note"] = "the oracle's NLL minus its own is 0: a second oracle is needed"
    by_text = told_by_text(members.ids, members.forgotten, members.clusters, seed)
    shifted = None if by_text.low is None or by_text.high is None else not by_text.low <= 0.5 <= by_text.high
    groups = {"forgotten": members.forgotten, "never_seen": ~members.forgotten}
    return {
        "figure": SHIFT if shifted else MEMBERSHIP,
        "scores": scores,
        "text_classifier": _numbers(by_text),
        "distribution_shift": shifted,
        **{name: _group(members, rows) for name, rows in groups.items()},
        "left_out": members.left_out,
        "reason": None,
        "notes": _notes(members, shifted),
    }


def _references(models: Mapping[str, Values]) -> dict[str, Tensor]:
    oracle = models[ORACLE]["nll"]
    against = {name: oracle for name in (BASE, UNLEARNED) if name in models}
    against |= {ORACLE: models[SECOND_ORACLE]["nll"]} if SECOND_ORACLE in models else {}
    return {name: nll.double() - models[name]["nll"].double() for name, nll in against.items()}


def _score(of_models: Mapping[str, Tensor], members: Members) -> dict[str, Any]:
    found = {name: _auroc(values, members) for name, values in of_models.items()}
    unlearned, oracle = (found[name].value if name in found else None for name in (UNLEARNED, ORACLE))
    leak, why = privleak(unlearned, oracle)
    return {**{name: _numbers(one) for name, one in found.items()}, "privleak": leak, "privleak_note": why}


def _auroc(values: Tensor, members: Members) -> Comparison:
    """Rows whose score is NaN tell nothing: they count as the least likely members."""
    return auroc(values.double().nan_to_num(nan=-torch.inf), members.forgotten, members.clusters)


def _numbers(one: Comparison) -> dict[str, Any]:
    return {"auroc": one.value, "auroc_ci": None if one.low is None or one.high is None else [one.low, one.high]}


def _group(members: Members, rows: Tensor) -> dict[str, int]:
    """duplicates: rows whose ids another row of the group has as well, but for one of them."""
    ids = members.ids[rows]
    return {
        "n": len(ids),
        "clusters": len(members.clusters[rows].unique()),
        "duplicates": len(ids) - len(ids.unique(dim=0)),
    }


def _notes(members: Members, shifted: bool | None) -> Sequence[str]:
    notes = []
    fewest = min(len(members.clusters[rows].unique()) for rows in (members.forgotten, ~members.forgotten))
    if few := too_few_clusters(fewest):
        notes.append(f"no intervals: {few}")
    if shifted:
        notes.append("the text alone tells forgotten rows from never-seen ones, so these figures show distribution shift")
    if shifted is None:
        notes.append("whether the text alone tells forgotten rows from never-seen ones is not known")
    if members.left_out:
        notes.append(f"{counted(members.left_out, 'never-seen row')} left out: near-duplicates of rows that were used")
    return notes
