"""Base, unlearned model and oracle side by side: is what is left of the forgotten rows what a model has that never saw them?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memunlearn.evaluation.membership import ORACLE
from memunlearn.evaluation.suite import Measurement
from memunlearn.evaluation.summary import summarize
from memunlearn.objectives.losses import token_kl
from memunlearn.scoring.forward import ReferenceStates
from memunlearn.scoring.score import ParagraphScores
from memunlearn.statistics.ks import ks_distance
from memunlearn.statistics.two_way import mean_over_units

# What is shown of each model.
SHOWN = ("em", "longest_run", "nll", "memorized")
SIDE_BY_SIDE = ("forget", "bystander")
COMPARED = ("forget", "retain")
# An oracle that recites less of what it was trained on is no model "trained the same way": 49 of 50 tokens.
LOWEST_BYSTANDER_EM = 0.98
KL = "mean per token of KL(the oracle's distribution, the model's), nats; the oracle is the first argument"
DISTANCE = (
    "Kolmogorov-Smirnov distance of the forgotten rows' NLL from the oracle's, 0..1; p by swapping the two within clusters"
)
NO_PROOF = "a large p does not show that two models say the same: rows are few, clustered and paired"


@dataclass(frozen=True)
class Told:
    """What a model says of N rows: its scores, and its final hidden states on the continuations."""

    scores: ParagraphScores
    states: ReferenceStates


@torch.no_grad()
def kl_between(first: ReferenceStates, second: ReferenceStates, batch_size: int) -> Tensor:
    """[N] fp32, nats: mean over the continuation of KL(first model's distribution, second's)."""
    rows = torch.arange(len(first.hidden)).split(batch_size)
    parts = [token_kl(first.logits(part), second.logits(part)).mean(1).cpu() for part in rows]
    return torch.cat(parts) if parts else torch.empty(0)


def beside_oracle(
    models: Mapping[str, Told], sets: Mapping[str, Tensor], clusters: Tensor, *, batch_size: int, seed: int = 0
) -> dict[str, Any]:
    """What evaluation.json says under `oracle`.

    models: by BASE, UNLEARNED, ORACLE and, where there is one, SECOND_ORACLE, of the same N rows. sets: [N] bool by "forget",
    "bystander" and "retain"; clusters: [N].
    """
    oracle, others = models[ORACLE], {name: told for name, told in models.items() if name != ORACLE}
    forget = sets["forget"]
    side_by_side = {
        name: {one: _shown(told.scores.select(sets[one]), clusters[sets[one]], seed) for one in SIDE_BY_SIDE}
        for name, told in models.items()
    }
    kl = {name: kl_between(oracle.states, told.states, batch_size) for name, told in others.items()}
    length = oracle.scores.token_nll.shape[1]
    return {
        "models": side_by_side,
        "kl": {
            name: {one: _mean(values[sets[one]], clusters[sets[one]], seed) for one in COMPARED} for name, values in kl.items()
        },
        "kl_is": KL,
        "nll_distance": {
            name: ks_distance(told.scores.nll[forget], oracle.scores.nll[forget], clusters[forget], seed=seed).numbers()
            for name, told in others.items()
        },
        "nll_distance_is": DISTANCE,
        "notes": [*_too_weak(side_by_side, length), NO_PROOF],
    }


def _shown(scores: ParagraphScores, clusters: Tensor, seed: int) -> dict[str, Any] | None:
    known = {key: values for key, values in scores.values.items() if key in SHOWN}
    summary = summarize(Measurement(clusters, ParagraphScores(known, scores.token_nll), None), seed)
    if summary is None:
        return None
    wanted = {"n", "clusters", *SHOWN, *(f"{key}_ci" for key in SHOWN)}
    return {key: value for key, value in summary.numbers.items() if key in wanted}


def _mean(values: Tensor, clusters: Tensor, seed: int) -> dict[str, Any] | None:
    if not len(values):
        return None
    mean, interval = mean_over_units(values.double().numpy(), clusters.numpy(), None, seed, (0.0, float("inf")))
    return {"mean": mean, "ci": None if interval is None else list(interval), "n": len(values)}


def _too_weak(side_by_side: Mapping[str, Mapping[str, Any]], length: int) -> list[str]:
    """What there is to say of oracles that do not recite the other memorized text."""
    notes = []
    for name, of_sets in side_by_side.items():
        bystander = of_sets["bystander"]
        if not name.endswith(ORACLE):
            continue
        if bystander is None:
            which = name.replace("_", " ")
            notes.append(f"whether the {which} recites other memorized text is not known: there are no bystanders")
        elif bystander["em"] < LOWEST_BYSTANDER_EM * length:
            notes.append(
                f"the {name.replace('_', ' ')} recites other memorized text less than it should (bystander EM "
                f"{bystander['em']:.1f}, and at least {LOWEST_BYSTANDER_EM * length:g} of {length} are asked for): it is not "
                "the same model without the forgotten rows, and the distances to it say less"
            )
    return notes
