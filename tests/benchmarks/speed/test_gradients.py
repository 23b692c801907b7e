"""The naive sides of attribution and curvature."""

import torch

from benchmarks.speed import gradients
from benchmarks.speed.sizes import SIZES, Lengths, random_model
from benchmarks.speed.workload import OURS, Given
from memunlearn.models.components import eligible_weights

GIVEN = Given(size=SIZES["tiny"], lengths=Lengths(7, 9), rows=3, rounds=1, device="cpu")


def ways(monkeypatch):
    """By workload's name its ways, none of them gone."""
    kept = {}
    monkeypatch.setattr(gradients, "measured", lambda given, ways, *, name, **_: kept.setdefault(name, ways))
    gradients.gradients(GIVEN)
    return kept


def test_row_by_row_is_the_gradient_of_the_mean_nll(monkeypatch):
    model = random_model(GIVEN.size)
    monkeypatch.setattr(gradients, "random_model", lambda size, device: model)
    found = ways(monkeypatch)["attribution"]
    rows = gradients.random_rows(GIVEN.size, GIVEN.lengths, 3).ids
    logits = model(input_ids=rows).logits[:, 6:-1]
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 7:].flatten()).backward()
    wanted = {weight.name: model.get_parameter(weight.name).grad.abs() for weight in eligible_weights(model)}
    for name in (OURS, gradients.ROW_BY_ROW):
        answer = found[name]()
        assert answer.keys() == wanted.keys()
        for weight, gradient in answer.items():
            torch.testing.assert_close(gradient, wanted[weight], rtol=1e-4, atol=1e-8)


def test_every_way_can_be_gone_again_and_leaves_no_gradient(monkeypatch):
    model = random_model(GIVEN.size)
    monkeypatch.setattr(gradients, "random_model", lambda size, device: model)
    for of_workload in ways(monkeypatch).values():
        for way in of_workload.values():
            way()
            way()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_curvature_is_of_every_eligible_weight(monkeypatch):
    found = ways(monkeypatch)["curvature"][OURS]()
    assert found.factors.keys() == {weight.name for weight in eligible_weights(random_model(GIVEN.size))}
    assert found.rows == 3
