"""Predicted and measured are those of the change that a step made, and of nothing before it."""

import copy

import pytest
import tiny_architectures as tiny
import torch

from benchmarks.step_cost import Costs
from memunlearn.curvature.measure import measure_curvature
from memunlearn.models import attach, delta_parameters, eligible_weights
from memunlearn.paragraphs.paragraph_set import ParagraphSet


def test_a_steps_cost_is_that_of_its_own_change():
    model = tiny.tiny_model("gpt_neo")
    weights, rows = eligible_weights(model), ParagraphSet(tiny.some_ids(3, 5, 9), 4, tuple("abcde"))
    curvature, plain = measure_curvature(model, weights, rows), copy.deepcopy(model)
    attach(model, tiny.all_indices(model))
    costs, deltas = Costs(model, curvature, rows), delta_parameters(model)
    generator = torch.Generator().manual_seed(0)
    steps = [{w.name: torch.randn(w.shape, generator=generator) * 0.01 for w in weights} for _ in range(2)]
    said = [plain(input_ids=rows.ids).logits[:, 3:-1].log_softmax(-1)]
    for change in steps:
        costs.on_train_batch_start()
        with torch.no_grad():
            for name, delta in deltas.items():
                delta.add_(change[name])
                plain.get_parameter(name).add_(change[name])
        costs.on_train_batch_end()
        said.append(plain(input_ids=rows.ids).logits[:, 3:-1].log_softmax(-1))
    for number, change in enumerate(steps):
        before, after = said[number], said[number + 1]
        kl = (before.exp() * (before - after)).sum(-1).mean()
        assert costs.measured[number] == pytest.approx(float(kl.detach()), rel=1e-2)
        assert costs.predicted[number] == pytest.approx(float(curvature.predicted_kl(change)), rel=1e-3)
    assert costs.predicted[0] != costs.predicted[1]
