"""A training step: `unlearn` with Lightning around it, beside the plain loop with two models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import lightning
import torch

import memunlearn as mu
from benchmarks.rounds import Way
from benchmarks.speed.device import clock, peak_memory
from benchmarks.speed.matrix_products import all_products, flops, step_products
from benchmarks.speed.sizes import random_model, random_rows
from benchmarks.speed.two_models import TwoModels
from benchmarks.speed.workload import OURS, PRODUCTS, AnswersDiffer, Given, Workload
from memunlearn.evaluation.suite import Baseline, measure_base
from memunlearn.models.components import WeightTensor
from memunlearn.paragraphs.splits import SET_NAMES
from memunlearn.unlearning.optimizers import MakeOptimizer
from memunlearn.unlearning.training import epochs_of

TWO_MODELS = "two models, logits of every token"
TWO_MODELS_KEPT = "two models, logits of the continuation"
RATE = 1e-4
"""Adam's, with all weights; with a share of them more, so that what is changed is as long: steps of a few weights that change a
random model less than rounding does would be compared with rounding."""
MOST_APART = 0.05
"""Of the norm of the change: Adam makes whole steps of gradients that are mostly rounding. In 16 bits nothing is compared."""

FRACTIONS = {"all": 1.0, "5 %": 0.05, "0.1 %": 0.001}


class StepTurns(lightning.Callback):
    """Between two steps of a fit one step of each alternative: seconds by way, ours first.

    A step of ours is all from one batch's start to the next one's: Lightning, the data and the optimizer, too. The first turn
    is not counted; memory is measured in it, of an alternative all that its step takes.
    """

    def __init__(self, others: Mapping[str, Way], device: str) -> None:
        self.others, self.device, self.clock = others, device, clock(device)
        self.seconds: dict[str, list[float]] = {OURS: [], **{name: [] for name in others}}
        self.peak_mib: dict[str, float | None] = {}
        self.started: float | None = None
        self.steps = 0

    def on_train_batch_start(self, *_: Any) -> None:
        self._ours_ends()
        for name, way in self.others.items():
            started = self.clock()
            if self.steps:
                way()
                self.seconds[name].append(self.clock() - started)
            else:
                with peak_memory(self.device) as peak:
                    way()
                self.peak_mib[name] = peak.mib
        self.steps += 1
        if self.steps == 1:
            self.watching = peak_memory(self.device)
            self.peak = self.watching.__enter__()
        self.started = self.clock()

    def on_train_end(self, *_: Any) -> None:
        self._ours_ends()

    def _ours_ends(self) -> None:
        if self.started is None:
            return
        if self.steps == 1:
            self.watching.__exit__(None, None, None)
            self.peak_mib[OURS] = self.peak.mib
        else:
            self.seconds[OURS].append(self.clock() - self.started)


def sets_of(given: Given) -> mu.ParagraphSets:
    """Rows enough for one epoch of all rounds and the uncounted one; one row in each set that must not be empty."""
    count = given.rows * (given.rounds + 1)
    counts = {"forget": count, "retain_train": count, "retain_val": 1, "retain": 1}
    rows = {name: random_rows(given.size, given.lengths, counts.get(name, 0), seed) for seed, name in enumerate(SET_NAMES)}
    clusters, first = {}, 0
    for name in SET_NAMES:
        clusters[name] = torch.arange(first, first + len(rows[name]))
        first += len(rows[name])
    return mu.ParagraphSets(
        **rows, clusters=clusters, rows={name: torch.arange(len(rows[name])) for name in SET_NAMES}, dropped={}
    )


def without_decoding(*args: Any, **settings: Any) -> Baseline:
    """`measure_base`, but what the base model says itself, which no step reads, is not decoded."""
    return measure_base(*args, **{**settings, "with_own": False})


def trainer_of(given: Given, turns: StepTurns, callbacks: Sequence[lightning.Callback], _: int | None) -> lightning.Trainer:
    return lightning.Trainer(
        max_steps=given.rounds + 1,
        accelerator="gpu" if given.device == "cuda" else "cpu",
        devices=1,
        precision=given.precision,  # type: ignore[arg-type]
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        callbacks=[*callbacks, turns],
    )


def mask_of(weights: Sequence[WeightTensor], share: float) -> mu.Mask:
    """So many weights, drawn at random: spread over all tensors, the dearest that a mask of this size can be."""
    return mu.select_all(weights) if share == 1 else mu.select_random(weights, share, seed=0)


def one_mask(given: Given, label: str, alternatives: Mapping[str, bool], kfac: bool = False) -> Workload:
    """alternatives: by name of a plain loop whether it computes the logits of every token. kfac: ours takes steps of K-FAC, not
    of Adam."""
    model = random_model(given.size, given.device)
    weights, sets = mu.eligible_weights(model), sets_of(given)
    share = FRACTIONS[label]
    rate = RATE / share**0.5
    optimizer: MakeOptimizer = mu.Kfac() if kfac else partial(torch.optim.Adam, lr=rate)
    mask, objective = mask_of(weights, share), mu.Demote()
    preparation = mu.prepare(model, sets, needs=objective.needs, batch_size=given.rows, measure=without_decoding)
    plan = epochs_of(preparation, batch_size=given.rows, protected_share=0.5, seed=0).epoch(0)
    chosen = None if share == 1 else {name: flat for name, flat in mask.indices.items() if flat is not None}
    loops = {
        name: TwoModels(
            random_model(given.size, given.device),
            [weight.name for weight in weights],
            chosen,
            prefix=given.lengths.prefix,
            learning_rate=rate,
            every_token=every_token,
            autocast=given.autocast,
        )
        for name, every_token in alternatives.items()
    }
    products = step_products(given.size, given.lengths, 2 * given.rows)
    others: dict[str, Way] = {name: _steps(loop, sets, plan) for name, loop in loops.items()}
    if share == 1 and not kfac:
        others[PRODUCTS] = all_products(products, given.device, given.precision)
    turns = StepTurns(others, given.device)
    mu.unlearn(
        model,
        mask,
        preparation,
        objective,
        optimizer,
        stop=None,
        make_trainer=partial(trainer_of, given, turns),
        batch_size=given.rows,
        weights=weights,
    )
    if not kfac and given.precision == "32-true":
        for name, loop in loops.items():
            same_change(model, loop, name)
    return Workload(
        name=f"step_{'kfac_' if kfac else ''}{label.replace(' ', '').replace('%', 'percent')}",
        title=f"A training step, {label} of the weights" + (", K-FAC" if kfac else ""),
        rows=2 * given.rows,
        tokens=2 * given.rows * given.lengths.read,
        seconds=turns.seconds,
        peak_mib=turns.peak_mib,
        flops=dict.fromkeys((OURS, PRODUCTS), flops(products)) if PRODUCTS in others else {},
        said="Beside Adam in the plain loop: the curvature is measured before the first step, and is no part of it."
        if kfac
        else "Adam in both; both end with the same weights.",
    )


def _steps(loop: TwoModels, sets: mu.ParagraphSets, plan: Sequence[Mapping[str, Any]]) -> Callable[[], None]:
    """The loop's next step, on the very rows of ours."""
    batches = iter(plan)

    def step() -> None:
        batch = next(batches)
        loop.step(sets.forget.ids[batch["forget"]], sets.retain_train.ids[batch["retain"]])

    return step


@torch.no_grad()
def same_change(model: Any, loop: TwoModels, name: str) -> None:
    """Raises AnswersDiffer unless the loop has changed its weights as ours has."""
    apart = total = 0.0
    for weight_name, weight in loop.weights.items():
        path, _, attribute = weight_name.rpartition(".")
        ours, base = getattr(model.get_submodule(path), attribute), loop.frozen.get_parameter(weight_name)
        apart += float((ours - weight).square().sum())
        total += float((weight - base).square().sum())
    if not total or apart > MOST_APART**2 * total:
        raise AnswersDiffer(f"after the same steps weights differ from those of {name}: {apart**0.5:.3g} of {total**0.5:.3g}")


def training_steps(given: Given) -> list[Workload]:
    """Adam with all, 5 % and 0.1 % of the weights."""
    return [one_mask(given, label, {TWO_MODELS: True, TWO_MODELS_KEPT: False}) for label in FRACTIONS]


def kfac_steps(given: Given) -> list[Workload]:
    """K-FAC with all and 0.1 %; of some of the weights a step solves a system, which takes a large model a card."""
    return [one_mask(given, label, {TWO_MODELS: True}, kfac=True) for label in ("all", "0.1 %")]
