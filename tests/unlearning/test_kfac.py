"""optimizer=kfac: steps against the formula, on plain gradients and curvature measured apart."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import tiny_architectures as tiny
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from test_unread import READS, PerStep, counted
from tiny_runs import Poisoned, Recorder, alike, context_of, quiet_trainer, same, some_mask
from torch import nn
from transformers.pytorch_utils import Conv1D

from memunlearn.curvature.damping import damp
from memunlearn.curvature.measure import measure_curvature
from memunlearn.curvature.passes import Reading
from memunlearn.curvature.solving import whole_solvers
from memunlearn.errors import UserError
from memunlearn.masks import select_all
from memunlearn.models import attach, base_parameters, delta_parameters, detach, eligible_weights, write_deltas
from memunlearn.models.sparse_delta import owner_of
from memunlearn.objectives.contrastive import Unlearn
from memunlearn.objectives.losses import kl
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.unlearning.kfac import Kfac
from memunlearn.unlearning.kfac_steps import Probe
from memunlearn.unlearning.optimizers import make_optimizer
from memunlearn.unlearning.training import unlearn

OBJECTIVE = Unlearn(0.5, 1.0)


def run(model, preparation, optimizer, steps=3, *, mask=None, extra=(), resume_from=None, objective=OBJECTIVE, **trainer):
    return unlearn(
        model,
        mask or select_all(eligible_weights(model)),
        preparation,
        objective,
        optimizer,
        stop=None,
        make_trainer=quiet_trainer(steps, extra, **trainer),
        batch_size=2,
        weights=eligible_weights(model),
        resume_from=resume_from,
    )


def curvature_of(model, preparation, **settings):
    rows = preparation.baselines["retain_train"].paragraphs
    how = Reading(settings.pop("positions", "all"), batch_size=4, seed=0)
    return measure_curvature(model, eligible_weights(model), rows, how, **settings)


def gradients_of_first_step(model, preparation, mask=None):
    recorder = Recorder()
    run(model, preparation, partial(torch.optim.SGD, lr=1.0), steps=1, extra=[recorder], mask=mask)
    return {name: -delta for name, delta in recorder.deltas[1].items()}


def direction(factors, gradient, damping=1e-4):
    """(G + d)^-1 g (A + d)^-1 in fp64, block by block."""
    matrix = factors.as_matrix(gradient).double()
    found = torch.empty_like(matrix)
    damped = [
        values.double() + damping * values.double().diagonal().mean() * torch.eye(len(values))
        for values in (factors.inputs, *(block.gradients for block in factors.blocks))
    ]
    for block, outputs in zip(factors.blocks, damped[1:], strict=True):
        found[block.features] = torch.linalg.solve(outputs, matrix[block.features]) @ torch.linalg.inv(damped[0])
    return factors.as_matrix(found).float()


def inputs_of_rows(model, weights, rows):
    """By the weight's name, the mean of a a' over rows and positions."""
    seen, found = {}, {}
    hooks = [
        owner_of(model, weight.name)[0].register_forward_hook(
            lambda _, given, __, name=weight.name: seen.update({name: given[0]})
        )
        for weight in weights
    ]
    with torch.no_grad():
        for row in rows.ids:
            model(input_ids=row[None, :-1])
            for name, given in seen.items():
                found[name] = found.get(name, 0) + sum(torch.outer(a, a) for a in given[0]) / given[0].shape[0] / len(rows)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("forget_inputs", [0, 3.0])
def test_a_step_goes_along_the_preconditioned_gradient_as_far_as_its_kl_allows(reciting, preparation, forget_inputs):
    base, recorder = copy.deepcopy(reciting), Recorder()
    curvature = curvature_of(base, preparation)
    gradients = gradients_of_first_step(copy.deepcopy(base), preparation)
    if forget_inputs:
        more = inputs_of_rows(base, eligible_weights(base), preparation.baselines["forget"].paragraphs)
        mixed = {n: replace(f, inputs=f.inputs + forget_inputs * more[n]) for n, f in curvature.factors.items()}
        curvature = replace(curvature, factors=mixed)
    optimizer = Kfac(relative_norm=None, max_kl=1e-3, damping=1e-2, probe_rows=0, forget_inputs=forget_inputs)
    run(reciting, preparation, optimizer, steps=1, extra=[recorder])
    expected = {name: -direction(curvature.factors[name], g, 1e-2) for name, g in gradients.items()}
    scale = (1e-3 / float(curvature.predicted_kl(expected))) ** 0.5
    alike(recorder.deltas[1], {name: scale * change for name, change in expected.items()}, within=2e-3)
    assert float(curvature.predicted_kl(recorder.deltas[1])) == pytest.approx(1e-3, rel=1e-3)


def test_momentum_gathers_gradients(reciting, preparation):
    """The step is linear in the gradient, so momentum of gradients is momentum of steps."""
    attach(reciting, {weight.name: None for weight in eligible_weights(reciting)})
    deltas = delta_parameters(reciting)
    optimizer = make_optimizer(
        Kfac(relative_norm=None, max_kl=3e-5, momentum=0.6, damping=0.1, probe_rows=0, forget_inputs=0),
        deltas,
        context_of(reciting, preparation),
    )
    curvature = curvature_of(reciting, preparation)
    generator = torch.Generator().manual_seed(0)
    gathered = {name: torch.zeros_like(delta) for name, delta in deltas.items()}
    for _ in range(3):
        before = {name: delta.detach().clone() for name, delta in deltas.items()}
        for name, delta in deltas.items():
            delta.grad = torch.randn(delta.shape, generator=generator)
            gathered[name] = 0.6 * gathered[name] + delta.grad
        optimizer.step()
        expected = {name: -direction(curvature.factors[name], g, 0.1) for name, g in gathered.items()}
        scale = (3e-5 / float(curvature.predicted_kl(expected))) ** 0.5
        change = {name: (delta - before[name]).detach() for name, delta in deltas.items()}
        alike(change, {name: scale * step for name, step in expected.items()}, within=2e-3)


@pytest.mark.parametrize("masked", [False, True])
def test_a_step_is_as_long_as_it_changes_what_the_model_says(reciting, preparation, masked):
    """The predicted step, made shorter or longer by the root of what it was measured to cost; twice as long at most."""
    base, mask = copy.deepcopy(reciting), some_mask(reciting) if masked else None
    settings = {"relative_norm": None, "max_kl": 1e-3, "damping": 1e-2}
    probe = preparation.baselines["retain_train"].paragraphs
    drawn = torch.randperm(len(probe), generator=torch.Generator().manual_seed(0))[:4]
    probe = probe.select(drawn)
    predicted, measured = Recorder(), Recorder()
    run(copy.deepcopy(base), preparation, Kfac(**settings, probe_rows=0), steps=1, extra=[predicted], mask=mask)
    run(reciting, preparation, Kfac(**settings, probe_rows=4), steps=1, extra=[measured], mask=mask)

    def said_with(deltas):
        model = copy.deepcopy(base)
        attach(model, (mask or select_all(eligible_weights(model))).indices)
        write_deltas(model, deltas)
        with torch.no_grad():
            return model(input_ids=probe.ids[:, :-1]).logits[:, probe.prefix_length - 1 :]

    before = said_with({name: torch.zeros_like(delta) for name, delta in predicted.deltas[1].items()})
    cost = float(kl(before, said_with(predicted.deltas[1])))
    factor = min((1e-3 / cost) ** 0.5, 2.0)
    assert abs(factor - 1) > 0.05, "nothing would be seen"
    alike(measured.deltas[1], {name: factor * delta for name, delta in predicted.deltas[1].items()}, within=1e-3)
    if factor < 2:
        assert float(kl(before, said_with(measured.deltas[1]))) == pytest.approx(1e-3, rel=0.2)


def test_a_step_without_effect_is_lengthened_twice_at_most(reciting, preparation, monkeypatch):
    base = copy.deepcopy(reciting)
    predicted, measured = Recorder(), Recorder()
    run(base, preparation, Kfac(relative_norm=None, probe_rows=0), steps=1, extra=[predicted])
    monkeypatch.setattr(Probe, "kl", lambda self, before, now: torch.zeros(()))
    run(reciting, preparation, Kfac(relative_norm=None), steps=1, extra=[measured])
    alike(measured.deltas[1], {name: 2 * delta for name, delta in predicted.deltas[1].items()}, within=1e-5)


def test_relative_norm_is_the_length_of_a_step(reciting, preparation):
    norm = torch.stack([base_parameters(reciting)[w.name].detach().norm() for w in eligible_weights(reciting)]).norm()
    recorder = Recorder()
    run(reciting, preparation, Kfac(max_kl=None, relative_norm=0.01), steps=2, extra=[recorder])
    for step in (1, 2):
        changes = [recorder.deltas[step][name] - recorder.deltas[step - 1][name] for name in recorder.deltas[step]]
        assert float(torch.stack([c.norm() for c in changes]).norm()) == pytest.approx(0.01 * float(norm), rel=1e-3)


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_of_both_lengths_the_shorter_one_holds(reciting, preparation, share):
    """share: what the norm allows, of what the KL allows."""
    base, norms = copy.deepcopy(reciting), []
    whole = torch.stack([base_parameters(reciting)[w.name].detach().norm() for w in eligible_weights(reciting)]).norm()
    by_kl = Recorder()
    run(copy.deepcopy(base), preparation, Kfac(relative_norm=None, max_kl=1e-3), steps=1, extra=[by_kl])
    for recorder, relative_norm in ((by_kl, None), (Recorder(), share)):
        if relative_norm is not None:
            optimizer = Kfac(relative_norm=relative_norm * norms[0], max_kl=1e-3)
            run(copy.deepcopy(base), preparation, optimizer, steps=1, extra=[recorder])
        norms.append(float(torch.stack([delta.norm() for delta in recorder.deltas[1].values()]).norm() / whole))
    assert norms[1] == pytest.approx(min(share, 1.0) * norms[0], rel=1e-2)


def test_nothing_to_descend_is_no_step(reciting, preparation):
    attach(reciting, {weight.name: None for weight in eligible_weights(reciting)})
    deltas = delta_parameters(reciting)
    for settings in ({}, {"max_kl": None}, {"relative_norm": None}):
        optimizer = make_optimizer(Kfac(**settings), deltas, context_of(reciting, preparation))
        for delta in deltas.values():
            delta.grad = torch.zeros_like(delta)
        optimizer.step()
        assert not any(delta.any() for delta in deltas.values())


@pytest.mark.parametrize("sparse", ["solve", "project"])
@pytest.mark.parametrize("eigenvalues", ["kronecker", "corrected"])
def test_of_a_mask_the_step_lies_within_it(reciting, preparation, sparse, eigenvalues):
    base, mask, recorder = copy.deepcopy(reciting), some_mask(reciting), Recorder()
    curvature = curvature_of(base, preparation, eigenvalues=eigenvalues == "corrected")
    gradients = gradients_of_first_step(copy.deepcopy(base), preparation, mask)
    settings = {"relative_norm": None, "max_kl": 1e-3, "damping": 0.05, "probe_rows": 0, "forget_inputs": 0, "iterations": 200}
    optimizer = Kfac(**settings, sparse=sparse, eigenvalues=eigenvalues)
    run(reciting, preparation, optimizer, steps=1, extra=[recorder], mask=mask)
    expected, spread = {}, {}
    damped = damp(curvature.factors, 0.05)
    for name, gradient in gradients.items():
        flat, shape = mask.indices[name], base_parameters(base)[name].shape
        assert flat is not None
        if sparse == "solve":
            units = torch.zeros(len(flat), shape.numel())
            units[torch.arange(len(flat)), flat] = 1
            system = torch.stack([damped[name].times(u.view(shape)).flatten()[flat] for u in units])
            step = -torch.linalg.solve(system.double(), gradient.double()).float()
        else:
            units = torch.eye(shape.numel())
            system = torch.stack([damped[name].times(u.view(shape)).flatten() for u in units])
            whole = torch.zeros(shape.numel(), dtype=torch.float64)
            whole[flat] = gradient.double()
            step = -torch.linalg.solve(system.double(), whole).float()[flat]
        expected[name] = step
        spread[name] = torch.zeros(shape.numel()).index_copy(0, flat, step).view(shape)
    scale = (1e-3 / float(curvature.predicted_kl(spread))) ** 0.5
    alike(recorder.deltas[1], {name: scale * step for name, step in expected.items()}, within=1e-2)


def test_it_goes_on_from_a_checkpoint_with_its_momentum(reciting, preparation, tmp_path):
    base = copy.deepcopy(reciting)
    saver = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    whole = run(reciting, preparation, Kfac(max_kl=1e-3), steps=6, extra=[saver])
    resumed = run(base, preparation, Kfac(max_kl=1e-3), steps=6, resume_from=tmp_path / "step=3.ckpt")
    assert same(resumed.patch.deltas, whole.patch.deltas)
    again, plain = copy.deepcopy(reciting), Recorder()
    detach(again)
    run(again, preparation, Kfac(max_kl=1e-3, momentum=0.0), steps=6, extra=[plain])
    assert not same(plain.deltas[6], whole.patch.deltas)


def test_a_loss_that_is_not_finite_keeps_the_last_good_state(reciting, preparation):
    recorder = Recorder()
    trained = run(reciting, preparation, Kfac(), steps=12, objective=Poisoned(at=6), extra=[recorder])
    assert trained.stopped_because == "nan" and trained.kept_step == 4
    assert same(trained.patch.deltas, recorder.deltas[4])


def test_in_bf16_mixed_the_deltas_are_fp32_and_the_steps_alike(reciting, preparation):
    base = copy.deepcopy(reciting)
    exact, mixed = Recorder(), Recorder()
    run(reciting, preparation, Kfac(damping=1e-2), steps=1, extra=[exact])
    run(base, preparation, Kfac(damping=1e-2), steps=1, extra=[mixed], precision="bf16-mixed")
    for name, delta in mixed.deltas[1].items():
        cosine = torch.cosine_similarity(delta.flatten(), exact.deltas[1][name].flatten(), dim=0)
        assert delta.dtype == torch.float32 and float(cosine) > 0.9


def test_inverses_in_bfloat16_and_on_a_named_device(reciting, preparation):
    base = copy.deepcopy(reciting)
    exact, near = Recorder(), Recorder()
    run(reciting, preparation, Kfac(damping=0.1), steps=1, extra=[exact])
    run(base, preparation, Kfac(damping=0.1, dtype="bfloat16", device="cpu"), steps=1, extra=[near])
    alike(near.deltas[1], exact.deltas[1], within=0.05)


def test_nothing_is_read_from_the_device_between_looks(reciting, preparation):
    watch = PerStep()
    with counted(watch, READS):
        run(reciting, preparation, Kfac(), steps=8, extra=[watch])
    assert set(watch.calls) == set(range(8)) and not watch.calls[5] and not watch.calls[6]
    sparse = PerStep()
    again = copy.deepcopy(reciting)
    detach(again)
    with counted(sparse, READS):
        run(again, preparation, Kfac(), steps=8, extra=[sparse], mask=some_mask(again))
    assert not sparse.calls[5]


def test_fewer_rows_are_drawn_with_the_seed(reciting, preparation):
    read = []

    def watched(model, weights, paragraphs, how=None, **settings):
        read.append(paragraphs)
        return measure_curvature(model, weights, paragraphs, how, **settings)

    attach(reciting, {weight.name: None for weight in eligible_weights(reciting)})
    context = context_of(reciting, preparation)
    object.__setattr__(context, "measure_curvature", watched)
    for rows in (3, 3, None, 10_000):
        make_optimizer(Kfac(rows=rows), delta_parameters(reciting), context)
    retain = preparation.baselines["retain_train"].paragraphs
    assert [len(rows) for rows in read] == [3, 3, len(retain), len(retain)]
    assert torch.equal(read[0].ids, read[1].ids) and not torch.equal(read[0].ids, retain.ids[:3])


class Split(nn.Module):
    """GPT-2's fused q, k, v as three modules."""

    def __init__(self, fused):
        super().__init__()
        width = fused.nf // 3
        self.parts = nn.ModuleList([Conv1D(width, fused.nx) for _ in range(3)])
        for number, part in enumerate(self.parts):
            part.weight = nn.Parameter(fused.weight[:, number * width : (number + 1) * width].detach().clone())
            part.bias = nn.Parameter(fused.bias[number * width : (number + 1) * width].detach().clone())

    def forward(self, hidden):
        return torch.cat([part(hidden) for part in self.parts], -1)


SPLIT = {
    "transformer.h.{layer}.attn.c_attn.parts.0.weight": "q",
    "transformer.h.{layer}.attn.c_attn.parts.1.weight": "k",
    "transformer.h.{layer}.attn.c_attn.parts.2.weight": "v",
    "transformer.h.{layer}.attn.c_proj.weight": "out",
    "transformer.h.{layer}.mlp.c_fc.weight": "mlp_in",
    "transformer.h.{layer}.mlp.c_proj.weight": "mlp_out",
}


@pytest.mark.parametrize("eigenvalues", [False, True])
def test_a_fused_and_a_split_copy_of_a_model_take_the_same_step(eigenvalues):
    fused = tiny.tiny_model("gpt2")
    split = copy.deepcopy(fused)
    for block in split.transformer.h:
        block.attn.c_attn = Split(block.attn.c_attn)
    rows = ParagraphSet(tiny.some_ids(7, 5, 9), 4, tuple("abcde"))
    steps = []
    for model, weights in ((fused, eligible_weights(fused)), (split, eligible_weights(split, SPLIT))):
        factors = measure_curvature(model, weights, rows, Reading(seed=2), eigenvalues=eigenvalues).factors
        model.zero_grad()
        model(input_ids=rows.ids, labels=rows.ids).loss.backward()
        solvers = whole_solvers(damp(factors, 1e-2))
        solved = {w.name: solvers[w.name](model.get_parameter(w.name).grad) for w in weights}
        steps.append(solved)
    for layer in range(tiny.LAYERS):
        name = f"transformer.h.{layer}.attn.c_attn"
        parts = [steps[1][f"{name}.parts.{number}.weight"] for number in range(3)]
        whole, kl = steps[0][f"{name}.weight"]
        alike({name: torch.cat([change for change, _ in parts], 1)}, {name: whole}, within=1e-3)
        assert float(kl) == pytest.approx(sum(float(part) for _, part in parts), rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"relative_norm": None, "max_kl": None}, "each must be above 0 or null"),
        ({"relative_norm": -0.1}, "each must be above 0 or null"),
        ({"max_kl": 0.0}, "each must be above 0 or null"),
        ({"damping": 0.0}, "optimizer.damping=0.0 must be above 0"),
        ({"momentum": 1.0}, "optimizer.momentum=1.0 must be from 0 to below 1"),
        ({"rows": 0}, "optimizer.rows=0 must be 1 or more"),
        ({"probe_rows": -1}, "optimizer.probe_rows=-1 must be 0 or more"),
        ({"iterations": 0}, "optimizer.iterations=0"),
        ({"eigenvalues": "best"}, "optimizer.eigenvalues=best is not known: use kronecker or corrected"),
        ({"positions": "first"}, "optimizer.positions=first"),
        ({"sparse": "drop"}, "optimizer.sparse=drop"),
        ({"dtype": "float16"}, "optimizer.dtype=float16"),
        ({"device": "toaster"}, "optimizer.device=toaster is not a device"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        Kfac(**settings)
