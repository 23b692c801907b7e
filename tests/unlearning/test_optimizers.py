"""An optimizer of one's own is given the deltas by name and what the run knows; PyTorch's are given what is to be trained."""

import copy
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny_runs import Recorder, context_of, deltas_of, quiet_trainer, same, some_mask

from memunlearn.models import attach, base_parameters, delta_parameters, detach, eligible_weights
from memunlearn.objectives.contrastive import Unlearn
from memunlearn.unlearning.optimizers import check_optimizer, make_optimizer, takes_context
from memunlearn.unlearning.training import unlearn


class ByInputs(torch.optim.Optimizer):
    """Descent with each weight's step divided by the mean square of its input on retain_train, as the base model has it: a
    preconditioner that needs the names, the model and the rows. Momentum, so that it has a state."""

    def __init__(self, deltas, context, lr=0.1, momentum=0.5):
        super().__init__(
            [{"params": [delta], "name": name} for name, delta in deltas.items()], {"lr": lr, "momentum": momentum}
        )
        self.context = context
        names = {weight.name for weight in context.weights}
        assert deltas.keys() <= names
        rows = context.preparation.baselines["retain_train"].paragraphs
        self.scales = {name: self._scale(context.model, name, rows) for name in deltas}

    @staticmethod
    @torch.no_grad()
    def _scale(model, name, rows):
        seen = []
        module = model.get_submodule(name.rpartition(".")[0])
        handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].square().mean()))
        model(input_ids=rows.ids[:, :-1])
        handle.remove()
        return seen[0] + 1e-3

    @torch.no_grad()
    def step(self, closure=None):
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            for delta in group["params"]:
                past = self.state[delta].setdefault("momentum", torch.zeros_like(delta))
                past.mul_(group["momentum"]).add_(delta.grad / self.scales[group["name"]])
                delta.sub_(group["lr"] * past)
        return loss


def run(model, preparation, optimizer, steps=6, extra=(), resume_from=None, mask=None):
    return unlearn(
        model,
        mask or some_mask(model),
        preparation,
        Unlearn(0.5, 1.0),
        optimizer,
        stop=None,
        make_trainer=quiet_trainer(steps, extra),
        batch_size=2,
        weights=eligible_weights(model),
        resume_from=resume_from,
    )


def test_named_deltas_and_the_runs_context_reach_it(reciting, preparation, sets):
    given = {}

    def make(deltas, context, lr):
        given.update(deltas=deltas, context=context)
        return torch.optim.SGD(deltas.values(), lr=lr)

    mask, weights = some_mask(reciting), eligible_weights(reciting)
    run(reciting, preparation, partial(make, lr=0.1), steps=1)
    context = given["context"]
    assert given["deltas"].keys() == mask.indices.keys()
    assert all(given["deltas"][name] is delta for name, delta in delta_parameters(reciting).items())
    assert context.model is reciting and context.batch_size == 2
    assert [weight.name for weight in context.weights] == [weight.name for weight in weights]
    assert torch.equal(context.preparation.baselines["retain_train"].paragraphs.ids, sets.retain_train.ids)
    assert context.objective == Unlearn(0.5, 1.0) and context.seed == 0


def test_an_optimizer_that_knows_names_trains_as_a_loop_does(reciting, preparation):
    base = copy.deepcopy(reciting)
    recorder = Recorder()
    run(reciting, preparation, partial(ByInputs, lr=0.02), steps=3, extra=[recorder])
    again, plain = copy.deepcopy(base), Recorder()
    run(again, preparation, partial(torch.optim.SGD, lr=1.0), steps=1, extra=[plain])
    gradients = {name: -delta for name, delta in plain.deltas[1].items()}
    rows = preparation.baselines["retain_train"].paragraphs
    for name, gradient in gradients.items():
        expected = -0.02 * gradient / ByInputs._scale(base, name, rows)
        torch.testing.assert_close(recorder.deltas[1][name], expected, rtol=1e-4, atol=1e-8)
    assert not same(recorder.deltas[2], recorder.deltas[3])


def test_it_goes_on_from_a_checkpoint_with_its_state(reciting, preparation, tmp_path):
    base, mask = copy.deepcopy(reciting), some_mask(reciting)
    saver = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    whole = run(reciting, preparation, partial(ByInputs, lr=0.02), extra=[saver])
    resumed = run(base, preparation, partial(ByInputs, lr=0.02), resume_from=tmp_path / "step=3.ckpt", mask=mask)
    assert same(resumed.patch.deltas, whole.patch.deltas)
    assert any(bool(delta.any()) for delta in deltas_of(reciting).values())


def test_pytorchs_are_given_the_parameters_alone(reciting, preparation):
    attach(reciting, some_mask(reciting).indices)
    deltas, context = delta_parameters(reciting), context_of(reciting, preparation)
    for make in (partial(torch.optim.Adam, lr=0.1), torch.optim.SGD, lambda parameters: torch.optim.AdamW(parameters)):
        optimizer = make_optimizer(make, deltas, context)
        [group] = optimizer.param_groups
        assert all(one is other for one, other in zip(group["params"], deltas.values(), strict=True))


@pytest.mark.parametrize(
    ("make", "own"),
    [
        (ByInputs, True),
        (partial(ByInputs, lr=0.5), True),
        (partial(torch.optim.Adam, lr=0.1), False),
        (torch.optim.SGD, False),
        (lambda deltas: None, False),
    ],
)
def test_which_kind_it_is_is_told_by_the_names_of_its_parameters(make, own):
    assert takes_context(make) == own


def test_settings_that_pytorch_refuses_are_found_before_anything_is_known_of_the_run():
    with pytest.raises(ValueError, match="learning rate"):
        check_optimizer(partial(torch.optim.Adam, lr=-1.0))
    with pytest.raises(TypeError, match="nonsense"):
        check_optimizer(partial(torch.optim.SGD, nonsense=1))
    check_optimizer(partial(ByInputs, lr=0.5))


def test_the_optimizer_of_the_docs_trains(reciting, preparation):
    text = (Path(__file__).parents[2] / "docs" / "objectives.md").read_text()
    found = {}
    exec(text.partition("```python\n")[2].partition("```")[0], found)
    before = {name: float(tensor.norm()) for name, tensor in base_parameters(reciting).items()}
    recorder = Recorder()
    run(reciting, preparation, partial(found["Scaled"], lr=0.3), steps=2, extra=[recorder])
    again, plain = copy.deepcopy(reciting), Recorder()
    detach(again)
    run(again, preparation, partial(torch.optim.SGD, lr=0.3), steps=1, extra=[plain])
    for name, delta in plain.deltas[1].items():
        torch.testing.assert_close(recorder.deltas[1][name], delta / before[name], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("made", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_a_step_is_one_kernel_where_pytorch_has_it(reciting, preparation, made, monkeypatch):
    """On the CPU as on a GPU, here; by default the CPU's steps are those of before."""
    make, runs = partial(made, lr=1e-2), []
    for devices in (("cuda",), ("cpu",)):
        monkeypatch.setattr("memunlearn.unlearning.optimizers.FUSED_ON", devices)
        model, recorder = copy.deepcopy(reciting), Recorder()
        run(model, preparation, make, steps=3, extra=[recorder])
        optimizer = make_optimizer(make, delta_parameters(model), None)
        assert bool(optimizer.defaults["fused"]) == (devices == ("cpu",))
        runs.append(recorder.deltas[3])
    for name, delta in runs[0].items():
        assert float(delta.abs().max()) > 0
        torch.testing.assert_close(runs[1][name], delta, rtol=1e-4, atol=1e-4 * float(delta.abs().max()))


@pytest.mark.parametrize("given", [{"foreach": True}, {"fused": False}, {"foreach": False}])
def test_what_is_asked_for_is_what_is_made(given, monkeypatch):
    monkeypatch.setattr("memunlearn.unlearning.optimizers.FUSED_ON", ("cpu",))
    deltas = {"weight": torch.nn.Parameter(torch.zeros(3))}
    optimizer = make_optimizer(partial(torch.optim.Adam, **given), deltas, None)
    assert not optimizer.defaults["fused"] and optimizer.defaults["foreach"] == given.get("foreach")
    assert isinstance(make_optimizer(torch.optim.Adadelta, deltas, None), torch.optim.Adadelta)  # has no such kernel
    assert make_optimizer(torch.optim.Adam, deltas, None).defaults["fused"]


def test_its_state_is_twice_what_is_trained(reciting, preparation):
    mask, kept = some_mask(reciting), []

    def make(deltas):
        kept.append(torch.optim.Adam(list(deltas), lr=1e-3))
        return kept[0]

    run(reciting, preparation, make, steps=2, mask=mask)
    states = [value for state in kept[0].state.values() for value in state.values() if value.dim()]
    assert sum(value.numel() for value in states) == 2 * mask.k < mask.eligible
