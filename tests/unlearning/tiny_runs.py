"""What the tests of training share: trainers, masks, recorders, and training as a plain loop on a plain model."""

import copy
from dataclasses import dataclass, field

import lightning
import torch
from torch.nn import functional

from memunlearn.masks import select_random
from memunlearn.models import base_parameters, delta_parameters, eligible_weights
from memunlearn.objectives.contrastive import Unlearn
from memunlearn.objectives.material import Losses, Needs
from memunlearn.unlearning.module import Unlearning
from memunlearn.unlearning.optimizers import RunContext
from memunlearn.unlearning.step_rows import StepRows

P, C = 7, 9


def quiet_trainer(max_steps=None, extra=(), made=None, **settings):
    """A MakeTrainer; max_steps counts where the protocol has none of its own. `made` receives the trainers."""

    def make(callbacks, steps):
        trainer = lightning.Trainer(
            max_steps=steps or max_steps,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=any(isinstance(c, lightning.pytorch.callbacks.ModelCheckpoint) for c in extra),
            enable_model_summary=False,
            enable_progress_bar=False,
            callbacks=[*callbacks, *extra],
            **settings,
        )
        if made is not None:
            made.append(trainer)
        return trainer

    return make


def context_of(model, preparation, objective=None, batch_size=2, seed=0):
    return RunContext(
        model=model,
        weights=eligible_weights(model),
        preparation=preparation,
        objective=objective or Unlearn(),
        batch_size=batch_size,
        seed=seed,
    )


def module_of(model, preparation, objective, optimizer):
    """Not attached to a trainer; the model carries what deltas it has."""
    return Unlearning(context_of(model, preparation, objective), optimizer, StepRows.of(preparation, objective.needs))


class Recorder(lightning.Callback):
    """After each batch: the loss, the number of steps, and the deltas. Deltas by number of steps; 0 is the start."""

    def __init__(self):
        self.losses, self.steps, self.deltas = [], [], {}

    def on_train_start(self, trainer, module):
        self.deltas[trainer.global_step] = deltas_of(module.model)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        self.losses.append(None if outputs is None or "loss" not in outputs else float(outputs["loss"]))
        self.steps.append(trainer.global_step)
        self.deltas[trainer.global_step] = deltas_of(module.model)


@dataclass
class Poisoned:
    """Unlearn, but NaN from the given call on, or for that many calls (calls start at 1)."""

    at: int
    times: int = 10_000
    objective: Unlearn = Unlearn()
    needs = Needs()
    calls: list = field(default_factory=list)

    def __call__(self, *inputs):
        self.calls.append(1)
        losses = self.objective(*inputs)
        if not self.at <= len(self.calls) < self.at + self.times:
            return losses
        return Losses(losses.forget_term * float("nan"), losses.retain_term, losses.forget_nll, losses.retain_kl)


def deltas_of(model):
    return {name: delta.detach().clone() for name, delta in delta_parameters(model).items()}


def some_mask(model, fraction=0.2, seed=3):
    return select_random(eligible_weights(model), fraction, seed=seed)


def bits(model):
    """The base weights, bit by bit."""
    return {name: tensor.detach().view(torch.int32).clone() for name, tensor in base_parameters(model).items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in other)


def alike(one, other, within):
    """Every tensor is the other but for a part of its length: single small values drown in fp32 rounding."""
    assert one.keys() == other.keys() and one
    for name in other:
        distance, length = float((one[name] - other[name]).norm()), float(other[name].norm())
        assert distance <= within * length and length > 0, f"{name}: {distance} of {length}"


def naive_loss(model, base, forget_ids, retain_ids, forget_weight, retain_weight):
    """retain_weight * KL(base, model) on the retain rows + forget_weight * NLL of the forget rows; per-token means."""
    forget = model(input_ids=forget_ids).logits.log_softmax(-1)
    nll = [-forget[row, i, forget_ids[row, i + 1]] for row in range(len(forget_ids)) for i in range(P - 1, P + C - 1)]
    retain = model(input_ids=retain_ids).logits
    with torch.no_grad():
        reference = base(input_ids=retain_ids).logits
    kl = [
        (reference[row, i].softmax(-1) * (reference[row, i].log_softmax(-1) - functional.log_softmax(retain[row, i], -1))).sum()
        for row in range(len(retain_ids))
        for i in range(P - 1, P + C - 1)
    ]
    return retain_weight * sum(kl) / len(kl) + forget_weight * sum(nll) / len(nll)


def naive_training(base, indices, batches, forget_weight, retain_weight, make_optimizer):
    """Trains a copy of the plain model on (forget ids, retain ids), gradients outside the mask set to zero by hand.

    Without weight decay that is what a mask means. Returns (changes of the chosen weights, loss of each step).
    """
    model = copy.deepcopy(base).requires_grad_(False)
    weights = {name: model.get_parameter(name).requires_grad_() for name in indices}
    optimizer, losses = make_optimizer(list(weights.values())), []
    for forget_ids, retain_ids in batches:
        optimizer.zero_grad()
        loss = naive_loss(model, base, forget_ids, retain_ids, forget_weight, retain_weight)
        loss.backward()
        for name, weight in weights.items():
            if indices[name] is not None:
                chosen = torch.zeros(weight.numel())
                chosen[indices[name]] = 1
                weight.grad *= chosen.view_as(weight)
        optimizer.step()
        losses.append(float(loss.detach()))
    changes = {}
    for name, weight in weights.items():
        change = (weight - base.get_parameter(name)).detach()
        changes[name] = change if indices[name] is None else change.flatten()[indices[name]]
    return changes, losses
