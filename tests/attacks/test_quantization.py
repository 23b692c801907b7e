"""Rounding against a loop over weights; NF4 against the levels of its paper."""

import copy
import importlib.util
import math

import attacked
import pytest
import tiny_architectures as tiny
import torch

from memunlearn.attacks import quantization
from memunlearn.attacks.changed_weights import with_changed_weights
from memunlearn.attacks.material import Subject
from memunlearn.attacks.quantization import Quantization, below_half_a_step, normal_float_4, round_to_nearest
from memunlearn.errors import UserError
from memunlearn.models import eligible_weights
from memunlearn.models.sparse_delta import base_parameters
from memunlearn.scoring.score import score

NEEDS_BITSANDBYTES = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="pip install 'memunlearn[attacks]'"
)
# Dettmers et al. 2023, arXiv 2305.14314, appendix E.
LEVELS = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334),
    *(-0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)


def by_loop(weight, bits):
    """Each weight to the nearest of its row's levels."""
    highest = 2 ** (bits - 1) - 1
    rounded = torch.zeros_like(weight)
    for row, values in enumerate(weight):
        largest = max(abs(float(value)) for value in values)
        levels = [largest * level / highest for level in range(-highest, highest + 1)]
        for column, value in enumerate(values):
            rounded[row, column] = min(levels, key=lambda level: abs(level - float(value)))
    return rounded


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("shape", [(7, 11), (1, 5), (13, 2)])
def test_rounding_is_to_the_nearest_level_of_the_row(shape, bits):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(3)) * torch.logspace(-3, 2, shape[0])[:, None]
    rounded = round_to_nearest(weight, bits)
    assert torch.allclose(rounded, by_loop(weight, bits), rtol=1e-5, atol=0)
    assert all(len(row.unique()) <= 2**bits - 1 for row in rounded)
    assert torch.allclose(rounded.abs().amax(1), weight.abs().amax(1))


def test_by_hand():
    """Steps 1/7 x 7 = 1 and 1/7 x 14 = 2; a row of zeros stays one."""
    weight = torch.tensor([[7.0, -3.4, 2.6, 0.4], [-14.0, 3.2, 0.9, -5.1], [0.0, 0.0, 0.0, 0.0]])
    assert round_to_nearest(weight, 4).tolist() == [[7.0, -3.0, 3.0, 0.0], [-14.0, 4.0, 0.0, -6.0], [0.0] * 4]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_rows_are_output_features(family):
    """GPT-2 stores them as columns."""
    model = tiny.tiny_model(family)
    weights = eligible_weights(model)
    changed = with_changed_weights(model, weights, lambda weight: round_to_nearest(weight, 4))
    before, after = base_parameters(model), base_parameters(changed)
    for weight in weights:
        one, other = before[weight.name].detach(), after[weight.name].detach()
        expected = by_loop(one.T, 4).T if family == "gpt2" else by_loop(one, 4)
        assert torch.allclose(other, expected, rtol=1e-5, atol=0)
    left = before.keys() - {weight.name for weight in weights}
    assert left and all(torch.equal(before[name], after[name]) for name in left)


@NEEDS_BITSANDBYTES
@pytest.mark.parametrize("shape", [(37, 52), (3, 64), (1, 5)])
def test_nf4_is_the_nearest_of_its_levels_in_blocks_of_64(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    levels = torch.tensor(LEVELS)
    expected = []
    for block in weight.flatten().split(64):
        largest = block.abs().max()
        expected.append(torch.stack([levels[(value / largest - levels).abs().argmin()] * largest for value in block]))
    assert torch.allclose(normal_float_4(weight), torch.cat(expected).view_as(weight), rtol=1e-5, atol=1e-6)


def test_attempts_are_the_rounded_models_scores(reciting, sets):
    target = attacked.target_of(reciting, sets.forget, sets.clusters["forget"])
    attempts = attacked.attack(Quantization(kinds=("int8", "int4")), reciting, target, name="base")
    for attempt, bits in zip(attempts, (8, 4), strict=True):
        model = copy.deepcopy(reciting)
        with torch.no_grad():
            for weight in eligible_weights(model):
                parameter = base_parameters(model)[weight.name]
                parameter.copy_(by_loop(parameter, bits))
        scores = score(model, sets.forget)
        assert torch.equal(attempt.em, scores.em) and torch.allclose(attempt.nll, scores.nll, atol=1e-4)
        assert attempt.settings == {"kind": f"int{bits}"} and not attempt.extra


def test_share_of_changes_below_half_a_step(reciting, sets):
    """Every third weight of one matrix is changed, by less or by more than half of its row's step."""
    model = copy.deepcopy(reciting)
    weight = eligible_weights(model)[3]
    parameter, small, changed = base_parameters(model)[weight.name], 0, 0
    before = parameter.detach().clone()
    for row in range(weight.shape[0]):
        step = max(abs(float(value)) for value in before[row]) / 7
        for column in range(row % 3, weight.shape[1], 3):
            share = (row + column) % 5 / 4 + 0.1  # .1, .35, .6, .85, 1.1 of a step
            with torch.no_grad():
                parameter[row, column] += share * step
            changed, small = changed + 1, small + (share < 0.5)
    target = attacked.target_of(reciting, sets.forget, sets.clusters["forget"], base=reciting)
    assert below_half_a_step(Subject("unlearned", model), target, 4) == pytest.approx(small / changed) and 0 < small < changed
    assert math.isnan(below_half_a_step(Subject("unlearned", reciting), target, 4))
    attempts = attacked.attack(Quantization(kinds=("int8", "int4")), model, target)
    assert attempts[1].extra == {"below_half_a_step": pytest.approx(small / changed)}
    assert attempts[0].extra["below_half_a_step"] < attempts[1].extra["below_half_a_step"]


def test_without_bitsandbytes_nf4_measures_nothing_and_says_why(reciting, sets, monkeypatch):
    monkeypatch.setattr(quantization.importlib.util, "find_spec", lambda name: None)
    target = attacked.target_of(reciting, sets.forget, sets.clusters["forget"])
    attempts = attacked.attack(Quantization(kinds=("int8", "nf4")), reciting, target)
    assert [(attempt.settings["kind"], len(attempt.rows), attempt.counts) for attempt in attempts] == [
        ("int8", 5, True),
        ("nf4", 0, False),
    ]
    assert "memunlearn[attacks]" in attempts[1].note


@pytest.mark.parametrize("kinds", [(), ("int8", "int3"), ("NF4",)])
def test_kinds_that_are_not_known_are_refused(kinds):
    with pytest.raises(UserError, match=r"attacks\.quantization\.kinds"):
        Quantization(kinds=kinds)
