"""When to stop, and which state to keep: the unbounded NLL runs away, so stopping in time is everything."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import lightning
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.models.sparse_delta import delta_parameters
from memunlearn.scoring.greedy import greedy_continuations
from memunlearn.scoring.metric import FromText
from memunlearn.scoring.metrics import metrics_from
from memunlearn.scoring.score import score
from memunlearn.unlearning.checks import Check, CheckedScores, check_of
from memunlearn.unlearning.module import Unlearning
from memunlearn.unlearning.preparation import Preparation

CHECKED = ("forget", "retain_val", "bystander_val")
# Below, one paragraph more or less decides: bystander EM is reported then, and neither stops a run nor chooses its state.
BYSTANDER_CLUSTERS_AT_LEAST = 5
# One token of one paragraph moves EM by much, and training makes it dip: so many checks under the limit in a row end a run.
LOW_CHECKS_IN_A_ROW = 5

MakeContext = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """Stop when the forget set is forgotten, when other text is hurt, or at max_steps.

    Forgotten: mean EM <= forget_em, 95th percentile of EM <= C/5 and, as EM alone is gamed by flipping one token, mean longest
    run <= longest_run (in tokens; None: C/5). An edit need not shorten that run, which is counted with the original's own words
    as context: it says what the model recites instead of them, so there the alternatives' mean EM must be >= C - C/5 and, in
    what the model says itself, the mean longest common run with the originals <= C/5.
    Hurt: KL on retain_val > max_kl, in nats per token, or mean EM of bystander_val < min_bystander_em, in tokens (None: 4/5 of
    C; 0: no limit). A state that hurts is never kept; KL ends the run at once, bystander EM at the fifth check in a row.
    Checked after step 1 and then every `every` steps.
    """

    every: int = 5
    forget_em: float = 5.0
    max_kl: float = 0.5
    max_steps: int = 400
    min_bystander_em: float | None = None
    longest_run: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1 or self.max_steps < 1:
            raise UserError(f"stop.every={self.every} and stop.max_steps={self.max_steps} must be 1 or more")
        if self.forget_em < 0 or self.max_kl <= 0:
            raise UserError(f"stop.forget_em={self.forget_em} must be 0 or more and stop.max_kl={self.max_kl} above 0")
        if self.longest_run is not None and not _is_length(self.longest_run):
            raise UserError(f"stop.longest_run={self.longest_run} must be a number of tokens, 0 or more, or null (C/5)")
        least = self.min_bystander_em
        if least is not None and not _is_length(least):
            raise UserError(
                f"stop.min_bystander_em={least} must be a number of tokens, 0 or more (0: no limit), or null (4/5 of C)"
            )

    def is_due(self, step: int) -> bool:
        return step == 1 or step % self.every == 0 or step == self.max_steps

    def least_bystander_em(self, continuation_length: int) -> float:
        """min_bystander_em, in tokens. Raises UserError if no continuation is that long."""
        if self.min_bystander_em is None:
            return 0.8 * continuation_length
        if self.min_bystander_em > continuation_length:
            raise UserError(
                f"stop.min_bystander_em={self.min_bystander_em} is more than the {continuation_length} tokens of a "
                "continuation: lower it"
            )
        return self.min_bystander_em

    def forgotten(self, check: Check, continuation_length: int) -> bool:
        common_run = check.forget_longest_common_run
        still_said = check.alternative_em is not None and (common_run is None or common_run > continuation_length / 5)
        return self.forgotten_if_nothing_is_said(check, continuation_length) and not still_said

    def forgotten_if_nothing_is_said(self, check: Check, continuation_length: int) -> bool:
        """What can be told of that without decoding; all of it, unless editing."""
        limit = continuation_length / 5
        if check.alternative_em is None:
            proven = check.forget_longest_run <= (limit if self.longest_run is None else self.longest_run)
        else:
            proven = check.alternative_em >= continuation_length - limit
        return check.forget_em <= self.forget_em and check.forget_em_p95 <= limit and proven

    def hurt(self, check: Check, continuation_length: int) -> str | None:
        """Which limit was passed, "max_kl" (where both were) or "bystander_em"; None if neither."""
        if check.retain_val_kl > self.max_kl:
            return "max_kl"
        em = check.bystander_val_em
        return "bystander_em" if em is not None and em < self.least_bystander_em(continuation_length) else None

    def rank(self, check: Check, continuation_length: int) -> tuple[int, float, float]:
        """Smaller is better: checks that meet the rule (by KL), then those of an edit that lack only the longest common run (by
        that), then the lowest forget EM that does not hurt, then what hurts.

        For an edit, what the alternatives lack of C counts as much as forget EM: a state that recites neither is no better one.
        """
        if self.hurt(check, continuation_length) is not None:
            return (3, check.retain_val_kl, check.forget_em)
        if self.forgotten(check, continuation_length):
            return (0, check.retain_val_kl, check.forget_em)
        if check.forget_longest_common_run is not None and self.forgotten_if_nothing_is_said(check, continuation_length):
            return (1, check.forget_longest_common_run, check.retain_val_kl)
        lacking = 0.0 if check.alternative_em is None else continuation_length - check.alternative_em
        return (2, check.forget_em + lacking, check.retain_val_kl)

    def prefers(self, check: Check, other: Check, continuation_length: int) -> bool:
        """Whether `check` is to be kept rather than `other`: by rank, but where both meet the rule, the higher bystander EM if
        they differ in it by more than C/25 (2 of 50 tokens), whatever the KL. (A run stops at the first state that meets the
        rule: only the base model can meet it too.)"""
        ranks = self.rank(check, continuation_length), self.rank(other, continuation_length)
        ems = check.bystander_val_em, other.bystander_val_em
        if ranks[0][0] == ranks[1][0] == 0 and ems[0] is not None and ems[1] is not None:
            if self.least_bystander_em(continuation_length) and abs(ems[0] - ems[1]) > continuation_length / 25:
                return ems[0] > ems[1]
        return ranks[0] < ranks[1]


def _is_length(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def rule_for(rule: StopRule, preparation: Preparation) -> tuple[StopRule, str | None]:
    """The rule as it can be kept in a run, and, where its bystander EM is reported only, why. Raises as least_bystander_em."""
    baseline = preparation.baselines["bystander_val"]
    least, clusters = rule.least_bystander_em(preparation.loss_rows.continuation_length), len(baseline.clusters.unique())
    if not least:
        return rule, None
    if clusters < BYSTANDER_CLUSTERS_AT_LEAST:
        why = f"bystander_val has {clusters} clusters, and fewer than {BYSTANDER_CLUSTERS_AT_LEAST} say too little"
    elif (em := float(baseline.scores.em.double().mean())) < least:
        why = f"the base model's own bystander_val EM, {em:.1f}, is below stop.min_bystander_em ({least:g})"
    else:
        return rule, None
    return replace(rule, min_bystander_em=0.0), why


class StopAndKeep(lightning.Callback):
    """Scores while training, stops by the rule, and keeps the deltas of the best check (not the last).

    The base model itself is the first candidate. `stopped_because` is "forget_em", "max_kl", "bystander_em" or "max_steps".
    `trajectory` has the scores of every check that gave numbers.
    """

    def __init__(self, rule: StopRule, preparation: Preparation, batch_size: int) -> None:
        self.rule, _ = rule_for(rule, preparation)
        self.batch_size = batch_size
        self.start_from(preparation)

    def start_from(self, preparation: Preparation, precision: MakeContext = contextlib.nullcontext) -> None:
        """Nothing checked yet. preparation: the base model, measured in the precision in which checks are to score."""
        self.precision = precision
        self.baselines = preparation.baselines
        # The loss rows of an edit are its alternatives; those of unlearning are the forget rows, which are checked anyway.
        self.alternatives = None if preparation.alternative_scores is None else preparation.loss_rows
        self.length = preparation.loss_rows.continuation_length
        scores = {name: preparation.baselines[name].scores for name in CHECKED}
        self.best = check_of(0, scores, preparation.alternative_scores)
        self.best_deltas: dict[str, Tensor] = {}
        base = {name: dict(scores[name].values) for name in CHECKED}
        own = self.baselines["forget"].own
        if self.alternatives is not None and own is not None:
            self.best = self._with_texts(self.best, base["forget"], own.continuations)
        self.trajectory = [CheckedScores(0, base)]
        self.last_checked = 0
        self.low_checks = 0  # the last ones in a row that bystander EM was too low at
        self.stopped_because = "max_steps"

    def check(self, model: PreTrainedModel, step: int) -> Check:
        """Forget, retain_val and bystander_val (and the alternatives, for an edit), scored now.

        What an edited model says is decoded only where nothing else keeps the state from being the one to keep.
        """
        scores, alternatives = {}, None
        with self.precision():
            for name in CHECKED:
                reference = self.baselines[name].states if name == "retain_val" else None
                scores[name] = score(model, self.baselines[name].paragraphs, self.batch_size, reference=reference)
            if self.alternatives is not None:
                alternatives = score(model, self.alternatives, self.batch_size)
        kl = scores["retain_val"].kl
        assert kl is not None
        check = check_of(step, scores, alternatives)
        if kl.isnan().any():
            return check
        columns = {name: dict(scores[name].values) for name in CHECKED}
        unhurt = self.rule.hurt(check, self.length) is None
        if alternatives is not None and unhurt and self.rule.forgotten_if_nothing_is_said(check, self.length):
            prefixes = self.baselines["forget"].paragraphs.prefixes
            with self.precision():
                said = greedy_continuations(model, prefixes, self.length, self.batch_size)
            check = self._with_texts(check, columns["forget"], said)
        self.trajectory.append(CheckedScores(step, columns))
        return check

    def _with_texts(self, check: Check, columns: dict[str, Tensor], said: Tensor) -> Check:
        """The check with the metrics of what is said [N, C] after the forget prefixes; each row's in `columns`."""
        numbers = {}
        for metric, source in metrics_from(FromText):
            if metric.detail:
                continue
            columns[metric.key] = source.compute(said, self.baselines["forget"].paragraphs.continuations)
            if "forget" in metric.checked:
                numbers[metric.check_name("forget")] = float(columns[metric.key].double().mean())
        return check.with_numbers(numbers)

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
        module.log_curve(before=step - 1)  # the row of the step that has just been taken follows the check's
        if module.diverged_at is not None:
            return
        self.last_checked = step
        check = self.check(module.model, step)
        if math.isnan(check.retain_val_kl):
            module.diverged_at = step
            trainer.should_stop = True
            return
        values = {
            f"check/{name}": float(value) for name, value in check.numbers().items() if name != "step" and value is not None
        }
        for logger in trainer.loggers:
            logger.log_metrics(values, step)
        if self.rule.prefers(check, self.best, self.length):
            self.best = check
            self.best_deltas = {name: delta.detach().clone() for name, delta in delta_parameters(module.model).items()}
        # A state that forgot and was hurt is not kept (see rank): to call that the target reached would mislead.
        limit = self.rule.hurt(check, self.length)
        self.low_checks = self.low_checks + 1 if limit == "bystander_em" else 0
        if limit is not None and (limit == "max_kl" or self.low_checks == LOW_CHECKS_IN_A_ROW):
            self.stopped_because = limit
        elif self.rule.forgotten(check, self.length) and limit is None:
            self.stopped_because = "forget_em"
        else:
            return
        trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": asdict(self.best),
            "deltas": self.best_deltas,
            "last_checked": self.last_checked,
            "low_checks": self.low_checks,
            "stopped_because": self.stopped_because,
            "trajectory": [(checked.step, dict(checked.sets)) for checked in self.trajectory],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = Check(**state_dict["best"])
        self.best_deltas = state_dict["deltas"]
        self.last_checked = state_dict["last_checked"]
        self.low_checks = state_dict.get("low_checks", 0)  # checkpoints of earlier versions have none
        self.stopped_because = state_dict["stopped_because"]
        self.trajectory = [CheckedScores(step, sets) for step, sets in state_dict["trajectory"]]
