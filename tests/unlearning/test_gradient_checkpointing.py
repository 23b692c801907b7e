"""Blocks that are computed again: the same training to the bit, on every architecture, with less alive at once."""

import copy
from functools import partial

import lightning
import pytest
import tiny_architectures as tiny
import torch
from tiny_runs import Recorder, quiet_trainer, same, some_mask
from torch import nn

from benchmarks.memory import MemoryAlive
from memunlearn.errors import UserError
from memunlearn.models import attach, delta_parameters, eligible_weights
from memunlearn.models.sparse_delta import SparseDelta
from memunlearn.objectives.demote import Demote
from memunlearn.objectives.rmu import RMU
from memunlearn.scoring.forward import continuation_states
from memunlearn.unlearning.blocks import blocks_of
from memunlearn.unlearning.gradient_checkpointing import GradientCheckpointing
from memunlearn.unlearning.kfac import Kfac
from memunlearn.unlearning.preparation import prepare
from memunlearn.unlearning.training import unlearn

ADAM = partial(torch.optim.Adam, lr=1e-3)


class Holding(lightning.LightningModule):
    def __init__(self, model):
        super().__init__()
        self.model = model


def attached(family):
    model = tiny.tiny_model(family)
    attach(model, {weight.name: torch.arange(0, weight.size, 7) for weight in eligible_weights(model)})
    generator = torch.Generator().manual_seed(1)
    for delta in delta_parameters(model).values():
        delta.data.copy_(0.1 * torch.randn(delta.shape, generator=generator))
    return model


def gradients(model, mixed):
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        loss = continuation_states(model, tiny.some_ids(3, 4, 11), 6).float().square().mean()
    return torch.autograd.grad(loss, list(delta_parameters(model).values()), allow_unused=True)


@pytest.mark.parametrize("mixed", [False, True], ids=["fp32", "bf16-mixed"])
@pytest.mark.parametrize("family", tiny.EVERY)
def test_gradients_are_the_same_to_the_bit(family, mixed):
    model = attached(family)
    assert not model.training
    added = []
    for part in model.modules():
        if isinstance(part, SparseDelta):
            part.register_forward_hook(lambda *_: added.append(1))
    expected = gradients(model, mixed)
    once = len(added)
    assert once == len(delta_parameters(model))  # a delta is added once a pass
    callback = GradientCheckpointing()
    callback.on_train_start(None, Holding(model))
    found = gradients(model, mixed)
    assert len(added) > 2 * once  # computed again
    for value, wanted in zip(found, expected, strict=True):
        assert (value is wanted is None) or torch.equal(value, wanted)
    callback.on_train_end(None, None)
    assert all("forward" not in vars(part) for part in model.modules())


@pytest.mark.parametrize(
    ("objective", "optimizer", "settings"),
    [(Demote(), Kfac(probe_rows=2), {}), (RMU(), ADAM, {}), (Demote(), ADAM, {"precision": "bf16-mixed"})],
    ids=["kfac", "rmu", "bf16-mixed"],
)
def test_training_is_the_same_to_the_bit(reciting, sets, objective, optimizer, settings):
    preparation = prepare(reciting, sets, needs=objective.needs, batch_size=4)
    runs = []
    for asked in ([], [GradientCheckpointing()]):
        model, recorder = copy.deepcopy(reciting), Recorder()
        trainer = quiet_trainer(max_steps=3, extra=[*asked, recorder], **settings)
        unlearn(model, some_mask(model), preparation, objective, optimizer, stop=None, make_trainer=trainer, batch_size=2)
        assert all("forward" not in vars(part) for part in model.modules())
        runs.append(recorder.deltas)
    assert runs[0].keys() == runs[1].keys() == {0, 1, 2, 3}
    assert same(runs[0][3], runs[1][3]) and not same(runs[0][3], runs[0][0])


def test_it_ends_with_training_that_fails(reciting, sets):
    class Fails(lightning.Callback):
        def on_train_batch_end(self, *_):
            raise ValueError("on purpose")

    preparation = prepare(reciting, sets, batch_size=4)
    trainer = quiet_trainer(max_steps=3, extra=[GradientCheckpointing(), Fails()])
    with pytest.raises(ValueError, match="on purpose"):
        unlearn(reciting, some_mask(reciting), preparation, Demote(), ADAM, stop=None, make_trainer=trainer)
    assert all("forward" not in vars(part) for part in reciting.modules())


def test_less_is_alive_at_once():
    model = tiny.tiny_model("gpt_neo")
    blocks = model.transformer.h
    blocks.extend(copy.deepcopy(blocks[0]) for _ in range(6))
    attach(model, {name: torch.arange(0, p.numel(), 7) for name, p in model.named_parameters() if "mlp.c_fc.weight" in name})
    with MemoryAlive() as plain:
        gradients(model, mixed=False)
    GradientCheckpointing().on_train_start(None, Holding(model))
    with MemoryAlive() as checkpointed:
        gradients(model, mixed=False)
    assert checkpointed.peak < plain.peak / 2


def test_a_model_without_blocks_is_one_line():
    with pytest.raises(UserError, match="gradient_checkpointing=true: Holding does not say which of its parts are blocks"):
        blocks_of(Holding(nn.Linear(2, 2)), "gradient_checkpointing")
