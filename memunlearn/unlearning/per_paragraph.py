"""The paper's protocol: one paragraph at a time, the base model restored in between (paper, section 6)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch

from memunlearn.errors import UserError
from memunlearn.models.components import count_per_component
from memunlearn.paragraphs.batches import Trials
from memunlearn.paragraphs.data_module import UnlearningData
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.outcome import Outcome, pool_trials
from memunlearn.unlearning.trials import TrialRunner, pool_alternatives

NOT_PROTECTED = (
    "protocol=per_paragraph keeps the retain rows of each trial and no others: leave out paragraphs.protected and "
    "paragraphs.protect, or use protocol=joint"
)


@dataclass(frozen=True)
class PerParagraph:
    """protocol=per_paragraph: `trials` trials of `steps` steps, each on one forget and `retain_batch` retain paragraphs.

    mask_scope: "trial" (a mask from each trial's own loss row) or "set" (one mask from all loss rows, for every trial).
    The other trials' paragraphs are a trial's bystanders (near, where they share its cluster).
    """

    trials: int = 20
    steps: int = 5
    retain_batch: int = 10
    mask_scope: str = "trial"

    def __post_init__(self) -> None:
        for name in ("trials", "steps", "retain_batch"):
            if getattr(self, name) < 1:
                raise UserError(f"protocol.{name}={getattr(self, name)} must be 1 or more")
        if self.mask_scope not in ("trial", "set"):
            raise UserError(f"protocol.mask_scope={self.mask_scope} is not known: use trial or set")

    def run(self, given: Ingredients) -> Outcome:
        """All trials in one fit. The model is left as the base model; results are pooled over trials, loss rows (forget,
        retain_train) apart from held-out rows (bystander, near, retain)."""
        preparation = given.preparation
        retain_rows = len(preparation.baselines["retain_train"].paragraphs)
        if given.stop is not None:
            raise UserError(f"protocol=per_paragraph takes {self.steps} steps a trial and no stop rule: add stop=none")
        if "protected" in preparation.baselines:
            raise UserError(NOT_PROTECTED)
        if given.rehearsal is not None:
            raise UserError(
                "protocol=per_paragraph trains on one paragraph at a time, and has no other to learn again: rehearsal=none"
            )
        if given.resume_from is not None:
            raise UserError("a per_paragraph run cannot be resumed: start it anew, in another folder")
        for what, needed, there in (
            ("protocol.trials", self.trials, len(preparation.loss_rows)),
            ("protocol.retain_batch", self.retain_batch, retain_rows),
        ):
            if needed > there:
                raise UserError(
                    f"{what}={needed}, but only {there} paragraphs are there for it: lower it or give more paragraphs"
                )
        order = torch.randperm(len(preparation.loss_rows), generator=torch.Generator().manual_seed(given.seed))
        plan = Trials(self.trials, self.steps, retain_rows, self.retain_batch, given.seed)
        runner = TrialRunner(given, plan, order[: self.trials], self.mask_scope)
        trainer = given.make_trainer([runner], len(plan))
        if trainer.accumulate_grad_batches != 1:
            raise UserError(
                "protocol=per_paragraph takes one step a batch: set accumulate=1 (and a smaller protocol.retain_batch)"
            )
        runner.start(trainer.precision_plugin)
        device = given.model.device
        trainer.fit(runner.module, datamodule=UnlearningData(plan))
        runner.module.to(device)  # Lightning leaves it on the CPU
        per_component: Counter[str] = Counter()
        for mask in runner.masks:
            per_component.update(count_per_component(mask.indices, given.weights))
        return Outcome(
            sets={name: pool_trials(outcomes, runner.trial_clusters) for name, outcomes in runner.outcomes.items()},
            alternatives=pool_alternatives(runner.alternatives),
            patches=runner.patches,
            k=runner.masks[0].k,
            eligible=runner.masks[0].eligible,
            per_component=per_component,
            steps=len(plan),
            kept_step=None,
            stopped_because="nan" if runner.diverged else "max_steps",
        )
