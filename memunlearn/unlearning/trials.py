"""One trial after the other, inside one Lightning fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lightning
import torch
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor

from memunlearn.evaluation.suite import Baseline
from memunlearn.masks.selection import Mask
from memunlearn.models.patches import Patch, capture_patch
from memunlearn.models.sparse_delta import attach, detach, write_deltas, zero_deltas
from memunlearn.paragraphs.batches import Trials
from memunlearn.paragraphs.roles import Roles, roles_of
from memunlearn.scoring.score import ParagraphScores, score
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.module import Unlearning
from memunlearn.unlearning.outcome import TEXTS_AT_MOST, AlternativeOutcome, SetOutcome, measure_set
from memunlearn.unlearning.precision import measured_in


class TrialRunner(lightning.Callback):
    """At a trial's first batch: its mask, deltas and optimizer. After its last: measure, keep the patch, restore the base.

    chosen: [trials] positions in the loss rows. Deltas that diverge go back to the last finite loss; the next trial goes on.
    """

    def __init__(self, given: Ingredients, plan: Trials, chosen: Tensor) -> None:
        preparation = given.preparation
        retain = preparation.baselines["retain_train"]
        self.given = given
        self.plan = plan
        self.forget_rows = torch.tensor(preparation.loss_positions)[chosen]
        self.trial_clusters = preparation.baselines["forget"].clusters[self.forget_rows]
        self.loss_rows = preparation.loss_rows.select(chosen)
        base = preparation.alternative_scores
        self.alternatives_before = None if base is None else base.select(chosen)
        self.module = Unlearning(
            given.model, given.objective, given.optimizer, self.loss_rows, retain.paragraphs, retain.states
        )
        self.common_mask = given.mask_for(self.loss_rows, given.mask_seed) if given.mask_scope == "set" else None
        self.trial = -1
        self.diverged = False
        self.masks: list[Mask] = []
        self.patches: list[Patch] = []
        self.outcomes: dict[str, list[tuple[int, SetOutcome]]] = {}
        self.alternatives: list[AlternativeOutcome] = []

    def start(self, precision: Precision) -> None:
        """Before the fit, which asks for the first trial's optimizer."""
        given = self.given
        seen = measured_in(precision, given.model, given.preparation, 1 + self.plan.retain_batch)
        self.module.retain_states = seen.baselines["retain_train"].states
        self.begin(0)

    def begin(self, trial: int) -> None:
        """Attaches the trial's deltas to the base model."""
        self.trial = trial
        mask = self.common_mask or self.given.mask_for(self.loss_rows.select([trial]), self.given.mask_seed + trial)
        self.masks.append(mask)
        attach(self.given.model, mask.indices)
        self.module.diverged_at, self.module.last_good = None, {}

    def on_train_batch_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: Any, batch_index: int
    ) -> None:
        trial = batch_index // self.plan.steps
        if trial != self.trial:
            self.begin(trial)
            trainer.strategy.optimizers = [self.module.configure_optimizers()]

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        trainer.should_stop = False
        if (batch_index + 1) % self.plan.steps:
            return
        model = self.given.model
        self.module.check_last_step()
        if self.module.diverged_at is not None:
            self.diverged = True
            write_deltas(model, self.module.last_good) if self.module.last_good else zero_deltas(model)
        parts = self._parts()
        patch = replace(capture_patch(model, {}, self.given.base_fingerprint), roles=self._roles(parts))
        self.patches.append(patch)
        if self.given.keep_patch is not None:
            self.given.keep_patch(self.trial, patch)
        self._measure(parts)
        detach(model)

    def _parts(self) -> dict[str, tuple[Baseline, Tensor]]:
        """The trial's sets, and which rows of a run's set each of them is."""
        baselines, trial = self.given.preparation.baselines, self.trial
        forget = baselines["forget"]
        own = self.forget_rows[trial]
        others = self.forget_rows[self.forget_rows != own]
        related = forget.clusters[others] == forget.clusters[own]
        return {
            "forget": (forget, own.unsqueeze(0)),
            "bystander": (forget, others[~related]),
            "near": (forget, others[related]),
            "retain_train": (baselines["retain_train"], self.plan.retain_of(trial)),
            "retain": (baselines["retain"], torch.arange(len(baselines["retain"].paragraphs))),
        }

    def _roles(self, parts: dict[str, tuple[Baseline, Tensor]]) -> Roles:
        """Of this trial: what stood in its loss and what is reported of it."""
        members = {name: (known.paragraphs.select(rows), known.clusters[rows]) for name, (known, rows) in parts.items()}
        return roles_of(members, None if self.alternatives_before is None else {0: self.loss_rows.ids[self.trial]})

    def _measure(self, parts: dict[str, tuple[Baseline, Tensor]]) -> None:
        model, trial = self.given.model, self.trial
        for name, (baseline, rows) in parts.items():
            if len(rows):
                texts = len(rows) if name == "forget" else TEXTS_AT_MOST // self.plan.trials
                outcome = measure_set(model, baseline.select(rows), rows, 2 * self.given.batch_size, texts=texts)
                self.outcomes.setdefault(name, []).append((trial, outcome))
        if self.alternatives_before is not None:
            row = torch.tensor([trial])
            before, after = self.alternatives_before.select(row), score(model, self.loss_rows.select(row))
            self.alternatives.append(AlternativeOutcome(before, after, row))


def pool_alternatives(trials: list[AlternativeOutcome]) -> AlternativeOutcome | None:
    """The alternatives of all trials as one; None where the objective does not edit."""
    if not trials:
        return None

    return AlternativeOutcome(
        ParagraphScores.concatenate([trial.before for trial in trials]),
        ParagraphScores.concatenate([trial.after for trial in trials]),
        torch.cat([trial.rows for trial in trials]),
    )
