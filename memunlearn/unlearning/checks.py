"""One look at the model while it is trained, as means for the stop rule and as each paragraph's scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from memunlearn.evaluation.suite import em_p95
from memunlearn.scoring.score import ParagraphScores


@dataclass(frozen=True)
class Check:
    """One look at the model while it is trained: EM and runs in tokens, KL in nats per token; None for an empty set.

    alternative_em: mean EM of the alternatives given the original prefixes, over the rows that have one; None unless editing.
    forget_longest_common_run: mean longest common run of the forget rows' continuations with what the model says, decoded; None
    unless editing, and where the rest of the rule does not hold yet, so that it need not be known.
    """

    step: int
    forget_em: float
    forget_em_p95: float
    forget_longest_run: float
    retain_val_kl: float
    bystander_val_em: float | None
    alternative_em: float | None = None
    forget_longest_common_run: float | None = None


@dataclass(frozen=True)
class CheckedScores:
    """Each paragraph's scores at one check; sets: by name "em", "longest_run" [N] int64, "nll" [N] fp32, and "kl" [N] fp32
    for retain_val, "longest_common_run" [N] int64 for forget where it was decoded. Plain tensors, so that a checkpoint can
    hold them."""

    step: int
    sets: Mapping[str, Mapping[str, Tensor]]


def check_of(
    step: int, scores: Mapping[str, ParagraphScores], retain_val_kl: float, alternatives: ParagraphScores | None
) -> Check:
    forget, bystander = scores["forget"], scores["bystander_val"].em
    return Check(
        step,
        float(forget.em.double().mean()),
        em_p95(forget.em),
        float(forget.longest_run.double().mean()),
        retain_val_kl,
        float(bystander.double().mean()) if len(bystander) else None,
        None if alternatives is None else float(alternatives.em.double().mean()),
    )


def columns_of(scores: ParagraphScores) -> dict[str, Tensor]:
    columns = {"em": scores.em, "longest_run": scores.longest_run, "nll": scores.nll}
    return columns if scores.kl is None else columns | {"kl": scores.kl}
