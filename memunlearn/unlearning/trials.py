"""One trial after the other, inside one Lightning fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import lightning
import torch
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.curvature.factors import Curvature
from memunlearn.curvature.measure import MeasureCurvature
from memunlearn.curvature.passes import Reading
from memunlearn.evaluation.suite import Baseline
from memunlearn.masks.selection import Mask
from memunlearn.models.components import WeightTensor
from memunlearn.models.filters import Filter, passing_positions
from memunlearn.models.patches import Patch, capture_change
from memunlearn.models.sparse_delta import attach, detach, write_deltas, zero_deltas
from memunlearn.paragraphs.batches import Trials
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.paragraphs.roles import Roles, roles_of
from memunlearn.scoring.score import ParagraphScores, score
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.module import Unlearning
from memunlearn.unlearning.optimizers import RunContext
from memunlearn.unlearning.outcome import TEXTS_AT_MOST, AlternativeOutcome, SetOutcome, measure_set
from memunlearn.unlearning.precision import measured_in
from memunlearn.unlearning.step_rows import StepRows


class TrialRunner(lightning.Callback):
    """At a trial's first batch: its mask, deltas and optimizer. After its last: measure, keep the patch, restore the base.

    chosen: [trials] positions in the loss rows. mask_scope: see PerParagraph. Deltas that diverge go back to the last finite
    loss; the next trial goes on.
    """

    def __init__(self, given: Ingredients, plan: Trials, chosen: Tensor, mask_scope: str) -> None:
        preparation = given.preparation
        self.given = given
        self.chosen = chosen
        self.plan = plan
        self.forget_rows = torch.tensor(preparation.loss_positions)[chosen]
        self.trial_clusters = preparation.baselines["forget"].clusters[self.forget_rows]
        self.loss_rows = preparation.loss_rows.select(chosen)
        base = preparation.alternative_scores
        self.alternatives_before = None if base is None else base.select(chosen)
        StepRows.of(preparation, given.objective.needs)  # refuses what cannot be trained before anything is attached
        self.common_mask = given.mask_for(self.loss_rows, given.mask_seed) if mask_scope == "set" else None
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
        context = RunContext(
            model=given.model,
            weights=given.weights,
            preparation=seen,
            objective=given.objective,
            batch_size=1,
            seed=given.seed,
            measure_curvature=_once(given.measure_curvature, _may_change(given)),
        )
        self.module = Unlearning(context, given.optimizer, StepRows.of(seen, given.objective.needs).choose(self.chosen))
        self.begin(0)

    def begin(self, trial: int) -> None:
        """Attaches the trial's deltas to the base model."""
        self.trial = trial
        mask = self.common_mask or self.given.mask_for(self.loss_rows.select([trial]), self.given.mask_seed + trial)
        self.masks.append(mask)
        attach(self.given.model, mask.indices)
        self.module.context = replace(self.module.context, forget=self.loss_rows.select([trial]))
        self.module.start(trial * self.plan.steps)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: Any, batch_index: int
    ) -> None:
        trial = batch_index // self.plan.steps
        if trial != self.trial:
            self.begin(trial)
            trainer.strategy.optimizers = []  # what one trial was solved with makes room for the next
            trainer.strategy.optimizers = [self.module.configure_optimizers()]

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        if (batch_index + 1) % self.plan.steps == 0:
            self.module.check_last_step()
            self._end()
        trainer.should_stop = False  # a trial that diverges ends itself, not those after it

    def _end(self) -> None:
        """Keeps the trial's patch, measures it, and restores the base model."""
        model = self.given.model
        if self.module.diverged_at is not None:
            self.diverged = True
            write_deltas(model, self.module.last_good) if self.module.last_good else zero_deltas(model)
        parts = self._parts()
        self.patches.append(self.given.patch_of(self.trial, capture_change(model, self._roles(parts))))
        self._measure(parts)
        detach(model)

    def _parts(self) -> dict[str, tuple[Baseline, Tensor]]:
        """The trial's sets, and which rows of a run's set each of them is."""
        baselines, trial = self.given.preparation.baselines, self.trial
        forget = baselines["forget"]
        own = self.forget_rows[trial]
        others = self.forget_rows[self.forget_rows != own]
        related = forget.clusters[others] == forget.clusters[own]
        parts = {
            "forget": (forget, own.unsqueeze(0)),
            "bystander": (forget, others[~related]),
            "near": (forget, others[related]),
            "retain_train": (baselines["retain_train"], self.plan.retain_of(trial)),
        }
        whole = [name for name in ("retain", "suspected") if name in baselines]
        return parts | {name: (baselines[name], torch.arange(len(baselines[name].paragraphs))) for name in whole}

    def _roles(self, parts: dict[str, tuple[Baseline, Tensor]]) -> Roles:
        """Of this trial: what stood in its loss and what is reported of it."""
        members = {name: (known.paragraphs.select(rows), known.clusters[rows]) for name, (known, rows) in parts.items()}
        return roles_of(members, None if self.alternatives_before is None else {0: self.loss_rows.ids[self.trial]})

    def _measure(self, parts: dict[str, tuple[Baseline, Tensor]]) -> None:
        model, trial = self.given.model, self.trial
        for name, (baseline, rows) in parts.items():
            if len(rows):
                texts = len(rows) if name == "forget" else TEXTS_AT_MOST // self.plan.trials
                outcome = measure_set(model, baseline.select(rows), rows, batch_size=2 * self.given.batch_size, texts=texts)
                self.outcomes.setdefault(name, []).append((trial, outcome))
        if self.alternatives_before is not None:
            row = torch.tensor([trial])
            before, after = self.alternatives_before.select(row), score(model, self.loss_rows.select(row))
            self.alternatives.append(AlternativeOutcome(before, after, row))


def _may_change(given: Ingredients) -> list[WeightTensor]:
    """The weights of which a trial's mask may choose."""
    strategy = given.strategy
    passing = passing_positions(given.weights, Filter(strategy.layers, strategy.components, strategy.heads))
    return [weight for weight in given.weights if weight.name in passing]


def _once(measure: MeasureCurvature, of: Sequence[WeightTensor]) -> MeasureCurvature:
    """Of these weights at the first trial, for every trial: masks differ, the base model and its retain rows do not."""
    found: list[Curvature] = []

    def measured(
        model: PreTrainedModel,
        weights: Sequence[WeightTensor],
        paragraphs: ParagraphSet,
        how: Reading | None = None,
        **settings: Any,
    ) -> Curvature:
        if not found:
            found.append(measure(model, of, paragraphs, how, **settings))
        return found[0]

    return measured


def pool_alternatives(trials: list[AlternativeOutcome]) -> AlternativeOutcome | None:
    """The alternatives of all trials as one; None where the objective does not edit."""
    if not trials:
        return None

    return AlternativeOutcome(
        ParagraphScores.concatenate([trial.before for trial in trials]),
        ParagraphScores.concatenate([trial.after for trial in trials]),
        torch.cat([trial.rows for trial in trials]),
    )
