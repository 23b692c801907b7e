"""When to stop, and which state to keep: the unbounded NLL runs away, so stopping in time is everything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import lightning
import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.evaluation.suite import em_p95
from memunlearn.models.sparse_delta import delta_parameters
from memunlearn.scoring.score import ParagraphScores, score
from memunlearn.unlearning.module import Unlearning
from memunlearn.unlearning.preparation import Preparation

CHECKED = ("forget", "retain_val", "bystander_val")


@dataclass(frozen=True)
class Check:
    """One look at the model while it is trained: EM and longest run in tokens, KL in nats per token; None for an empty set.

    alternative_em: mean EM of the alternatives given the original prefixes, over the rows that have one; None unless editing.
    """

    step: int
    forget_em: float
    forget_em_p95: float
    forget_longest_run: float
    retain_val_kl: float
    bystander_val_em: float | None
    alternative_em: float | None = None


@dataclass(frozen=True)
class CheckedScores:
    """Each paragraph's scores at one check; sets: by name "em", "longest_run" [N] int64, "nll" [N] fp32, and "kl" [N] fp32
    for retain_val. Plain tensors, so that a checkpoint can hold them."""

    step: int
    sets: Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class StopRule:
    """Stop when the forget set is forgotten, when the retain set is hurt, or at max_steps.

    Forgotten: mean EM <= forget_em, 95th percentile of EM <= C/5 and, as EM alone is gamed by flipping one token, mean longest
    run <= C/5. An edit need not shorten that run, which is counted with the original's own words as context: it says what the
    model recites instead of them, so there the alternatives' mean EM must be >= C - C/5.
    Hurt: KL on retain_val > max_kl, in nats per token. Checked after step 1 and then every `every` steps.
    """

    every: int = 5
    forget_em: float = 5.0
    max_kl: float = 0.5
    max_steps: int = 400

    def __post_init__(self) -> None:
        if self.every < 1 or self.max_steps < 1:
            raise UserError(f"stop.every={self.every} and stop.max_steps={self.max_steps} must be 1 or more")
        if self.forget_em < 0 or self.max_kl <= 0:
            raise UserError(f"stop.forget_em={self.forget_em} must be 0 or more and stop.max_kl={self.max_kl} above 0")

    def is_due(self, step: int) -> bool:
        return step == 1 or step % self.every == 0 or step == self.max_steps

    def forgotten(self, check: Check, continuation_length: int) -> bool:
        limit = continuation_length / 5
        if check.alternative_em is None:
            proven = check.forget_longest_run <= limit
        else:
            proven = check.alternative_em >= continuation_length - limit
        return check.forget_em <= self.forget_em and check.forget_em_p95 <= limit and proven

    def hurt(self, check: Check) -> bool:
        return check.retain_val_kl > self.max_kl

    def rank(self, check: Check, continuation_length: int) -> tuple[int, float, float]:
        """Smaller is better: the lowest KL among checks that meet the rule, else the lowest forget EM under max_kl.

        For an edit, what the alternatives lack of C counts as much as forget EM: a state that recites neither is no better one.
        """
        if self.hurt(check):
            return (2, check.retain_val_kl, check.forget_em)
        if self.forgotten(check, continuation_length):
            return (0, check.retain_val_kl, check.forget_em)
        lacking = 0.0 if check.alternative_em is None else continuation_length - check.alternative_em
        return (1, check.forget_em + lacking, check.retain_val_kl)


class StopAndKeep(lightning.Callback):
    """Scores while training, stops by the rule, and keeps the deltas of the best check (not the last).

    The base model itself is the first candidate. `stopped_because` is "forget_em", "max_kl" or "max_steps". `trajectory` has
    the scores of every check that gave numbers.
    """

    def __init__(self, rule: StopRule, preparation: Preparation, batch_size: int) -> None:
        self.rule = rule
        self.baselines = preparation.baselines
        # The loss rows of an edit are its alternatives; those of unlearning are the forget rows, which are checked anyway.
        self.alternatives = None if preparation.alternative_scores is None else preparation.loss_rows
        self.batch_size = batch_size
        self.length = preparation.loss_rows.continuation_length
        scores = {name: preparation.baselines[name].scores for name in CHECKED}
        self.best = _check(0, scores, 0.0, preparation.alternative_scores)
        self.best_deltas: dict[str, Tensor] = {}
        base = {name: _columns(scores[name]) for name in CHECKED}
        base["retain_val"]["kl"] = torch.zeros_like(base["retain_val"]["nll"])
        self.trajectory = [CheckedScores(0, base)]
        self.last_checked = 0
        self.stopped_because = "max_steps"

    def check(self, module: Unlearning, step: int) -> Check:
        """Forget, retain_val and bystander_val (and the alternatives, for an edit), scored now."""
        scores = {}
        for name in CHECKED:
            reference = self.baselines[name].states if name == "retain_val" else None
            scores[name] = score(module.model, self.baselines[name].paragraphs, self.batch_size, reference)
        kl = scores["retain_val"].kl
        assert kl is not None
        if not kl.isnan().any():
            self.trajectory.append(CheckedScores(step, {name: _columns(scores[name]) for name in CHECKED}))
        alternatives = None if self.alternatives is None else score(module.model, self.alternatives, self.batch_size)
        return _check(step, scores, float(kl.double().mean()), alternatives)

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        # Resumed from the checkpoint of the very step at which the rule said enough: there is nothing left to train.
        if self.stopped_because != "max_steps":
            trainer.should_stop = True

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        assert isinstance(module, Unlearning)
        step = trainer.global_step
        # The step does not advance while gradients accumulate.
        if module.diverged_at is not None or step == self.last_checked or not self.rule.is_due(step):
            return
        self.last_checked = step
        check = self.check(module, step)
        if math.isnan(check.retain_val_kl):
            module.diverged_at = step
            trainer.should_stop = True
            return
        values = {
            f"check/{name}": float(value) for name, value in asdict(check).items() if name != "step" and value is not None
        }
        for logger in trainer.loggers:
            logger.log_metrics(values, step)
        if self.rule.rank(check, self.length) < self.rule.rank(self.best, self.length):
            self.best = check
            self.best_deltas = {name: delta.detach().clone() for name, delta in delta_parameters(module.model).items()}
        # A state that forgot and was hurt is not kept (see rank): to call that the target reached would mislead.
        if self.rule.hurt(check):
            self.stopped_because = "max_kl"
        elif self.rule.forgotten(check, self.length):
            self.stopped_because = "forget_em"
        else:
            return
        trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": asdict(self.best),
            "deltas": self.best_deltas,
            "last_checked": self.last_checked,
            "stopped_because": self.stopped_because,
            "trajectory": [(checked.step, dict(checked.sets)) for checked in self.trajectory],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = Check(**state_dict["best"])
        self.best_deltas = state_dict["deltas"]
        self.last_checked = state_dict["last_checked"]
        self.stopped_because = state_dict["stopped_because"]
        self.trajectory = [CheckedScores(step, sets) for step, sets in state_dict["trajectory"]]


def _check(
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


def _columns(scores: ParagraphScores) -> dict[str, Tensor]:
    columns = {"em": scores.em, "longest_run": scores.longest_run, "nll": scores.nll}
    return columns if scores.kl is None else columns | {"kl": scores.kl}
