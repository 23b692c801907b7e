"""What optimizer=kfac does before the first step, and what it refuses there."""

import weakref
from dataclasses import replace

import pytest
import tiny_architectures as tiny
import torch
from tiny_runs import context_of

from memunlearn.curvature import solving
from memunlearn.curvature.damping import damp
from memunlearn.curvature.factors import Block, Factors
from memunlearn.curvature.measure import measure_curvature
from memunlearn.curvature.solving import whole_solvers
from memunlearn.errors import UserError
from memunlearn.models import attach, delta_parameters, eligible_weights
from memunlearn.unlearning.kfac import Kfac
from memunlearn.unlearning.optimizers import make_optimizer


def test_factors_make_room_for_their_inverses(reciting, preparation, monkeypatch):
    """Of each weight, one after the other, so that both are never there of all of them."""
    weights = eligible_weights(reciting)
    factors = dict(measure_curvature(reciting, weights, preparation.baselines["retain_train"].paragraphs).factors)
    held = {id(t): weakref.ref(t) for known in factors.values() for t in (known.inputs, known.blocks[0].gradients)}.values()
    left, invert = [], solving.inverse

    def watched(factor, added):
        left.append(sum(tensor() is not None for tensor in held))
        return invert(factor, added)

    monkeypatch.setattr(solving, "inverse", watched)
    solvers = Kfac()._solvers(factors, dict.fromkeys(factors), {weight.name: weight.shape for weight in weights})
    assert len(solvers) == len(weights)
    assert left[0] == len(held) and left[-1] <= 2


def test_factors_that_cannot_be_inverted_are_said_with_what_to_do():
    inputs = torch.ones(600, 600) * 1e4 - 1e-3 * torch.eye(600)
    factors = {"h.0.weight": Factors(inputs, (Block(torch.arange(1), torch.ones(1, 1)),), 0)}
    with pytest.raises(UserError, match=r"h.0.weight cannot be inverted.*raise optimizer.damping"):
        whole_solvers(damp(factors, 1e-8))
    whole_solvers(damp(factors, 1e-2))


def test_without_being_told_it_finds_out_what_the_weights_are(reciting, preparation):
    """As in a notebook, with `unlearn(model, mask, preparation, optimizer=Kfac())`."""
    attach(reciting, {weight.name: None for weight in eligible_weights(reciting)})
    deltas, context = delta_parameters(reciting), context_of(reciting, preparation)
    changes = []
    for given in (context, replace(context, weights=())):
        optimizer = make_optimizer(Kfac(max_kl=None, relative_norm=0.01), deltas, given)
        before = {name: delta.detach().clone() for name, delta in deltas.items()}
        for delta in deltas.values():
            delta.grad = torch.ones_like(delta)
        optimizer.step()
        changes.append(torch.cat([(delta - before[name]).detach().flatten() for name, delta in deltas.items()]))
    torch.testing.assert_close(changes[0], changes[1], rtol=1e-3, atol=1e-6)


def large_and_small(n, seed):
    """Curvature as it is met: a few directions far above all others."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(4 * n, n, generator=generator) / torch.arange(1, n + 1)
    turned = rows @ torch.linalg.qr(torch.randn(n, n, generator=generator))[0]
    return turned.T @ turned / (4 * n)


@pytest.mark.parametrize("chosen", [None, "some"])
def test_bfloat16_is_refused_where_it_would_go_another_way(chosen):
    """A step's gain for its KL, beside that of float32: what is refused is useless, what is not is as good."""
    factors = Factors(large_and_small(192, 0), (Block(torch.arange(64), large_and_small(64, 1)),), 0)
    drawn = torch.randn(2, 64, 192, generator=torch.Generator().manual_seed(2))
    # As gradients are: of the same inputs and outputs as the curvature, for the most part.
    inputs, outputs = factors.inputs, factors.blocks[0].gradients
    gradient = outputs @ drawn[0] @ inputs + 1e-3 * outputs.diagonal().mean() * inputs.diagonal().mean() * drawn[1]
    flat = None if chosen is None else torch.arange(0, 64 * 192, 7)

    def gain(solver):
        given = gradient if flat is None else gradient.flatten()[flat]
        change = solver(given)[0]
        spread = change if flat is None else torch.zeros(64 * 192).index_copy(0, flat, change).view(64, 192)
        return float((given * change).sum()) / float((spread * factors.times(spread)).sum()) ** 0.5

    def solver(dtype, damping):
        return Kfac(dtype=dtype, damping=damping)._solvers({"w": factors}, {"w": flat}, {"w": (64, 192)})["w"]

    if flat is not None:
        assert gain(solver("bfloat16", 1e-4)) > 0.9 * gain(solver("float32", 1e-4))
        return
    assert gain(solver("bfloat16", 0.1)) > 0.9 * gain(solver("float32", 0.1))
    rounded = whole_solvers(damp({"w": factors}, 1e-4), torch.bfloat16)["w"]
    assert gain(rounded) < 0.5 * gain(solver("float32", 1e-4))
    with pytest.raises(UserError, match=r"optimizer.dtype=bfloat16 rounds inverses too much for optimizer.damping=0.0001"):
        solver("bfloat16", 1e-4)


def test_bfloat16_is_refused_before_work():
    weights = eligible_weights(tiny.tiny_model("gpt2"))
    model, cpu = tiny.tiny_model("gpt2"), torch.device("cpu")
    for settings, share in (({}, 1.0), ({"sparse": "project"}, 0.1)):
        with pytest.raises(UserError, match="rounds inverses"):
            Kfac(dtype="bfloat16", **settings).budget(model, weights, weights, share, cpu)
    Kfac(dtype="bfloat16").budget(model, weights, weights, 0.1, cpu)
    Kfac(dtype="bfloat16", eigenvalues="corrected", forget_inputs=0).budget(model, weights, weights, 1.0, cpu)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"device": "cuda:77"}, "optimizer.device=cuda:77 is not on this machine"),
        ({"device": "meta"}, "optimizer.device=meta is not a device"),
        ({"rows": 2.5}, "optimizer.rows=2.5 must be 1 or more, and a whole number"),
        ({"probe_rows": 1.5}, "optimizer.probe_rows=1.5 must be 0 or more, and a whole number"),
        ({"iterations": "many"}, "optimizer.iterations=many must be 1 or more, and a whole number"),
        ({"momentum": "high"}, "optimizer.momentum=high must be from 0 to below 1"),
        ({"forget_inputs": -1}, "optimizer.forget_inputs=-1 must be 0 or more"),
        ({"eigenvalues": "corrected"}, "of the retain text alone.*add optimizer.forget_inputs=0"),
        ({"damping": "much"}, "optimizer.damping=much must be above 0"),
        ({"max_kl": "little"}, "optimizer.max_kl=little and .*: each must be above 0 or null"),
    ],
)
def test_settings_of_the_wrong_kind_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        Kfac(**settings)
