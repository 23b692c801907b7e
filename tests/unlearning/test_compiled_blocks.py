"""Compiled blocks train as others do, to rounding; what is said; what is refused."""

import copy
from functools import partial

import lightning
import pytest
import tiny_architectures as tiny
import torch
from tiny_runs import Recorder, quiet_trainer, same, some_mask

from memunlearn.errors import UserError
from memunlearn.objectives.demote import Demote
from memunlearn.objectives.rmu import RMU
from memunlearn.unlearning.compiled_blocks import CompiledBlocks, check_compiler
from memunlearn.unlearning.gradient_checkpointing import GradientCheckpointing
from memunlearn.unlearning.kfac import Kfac
from memunlearn.unlearning.preparation import prepare
from memunlearn.unlearning.stopping import StopRule
from memunlearn.unlearning.training import unlearn

ADAM = partial(torch.optim.Adam, lr=1e-3)


@pytest.fixture(autouse=True)
def _compiled_anew():
    yield
    torch._dynamo.reset()


def two_runs(model, sets, callbacks, objective, optimizer, **settings):
    """The deltas by number of steps, and the checks, without and with the callbacks."""
    preparation = prepare(model, sets, needs=objective.needs, batch_size=4)
    runs = []
    for asked in ([], callbacks):
        trained, recorder = copy.deepcopy(model), Recorder()
        ended = unlearn(
            trained,
            some_mask(trained),
            preparation,
            objective,
            optimizer,
            stop=StopRule(every=2, max_steps=4),
            make_trainer=quiet_trainer(extra=[*asked, recorder], **settings),
            batch_size=2,
        )
        assert all("forward" not in vars(part) for part in trained.modules())
        runs.append((recorder.deltas, ended.kept_check))
    return runs


def alike(runs, within=1e-3):
    (deltas, check), (compiled, compiled_check) = runs
    assert deltas.keys() == compiled.keys() and max(deltas) >= 2
    last = max(deltas)
    assert not same(deltas[last], deltas[0])
    for name, delta in deltas[last].items():
        assert float((compiled[last][name] - delta).norm()) <= within * float(delta.norm()), name
    assert compiled_check.retain_val_kl == pytest.approx(check.retain_val_kl, rel=1e-2, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "optimizer", "extra"),
    [(Demote(), Kfac(probe_rows=2), []), (RMU(), ADAM, []), (Demote(), ADAM, [GradientCheckpointing()])],
    ids=["kfac", "rmu", "checkpointed"],
)
def test_traced_blocks_train_as_others_do(reciting, sets, objective, optimizer, extra, capsys):
    """Traced, deltas and hooks with them, and run by PyTorch's own kernels: what is made of them is the slow test's."""
    alike(two_runs(reciting, sets, [CompiledBlocks("eager"), *extra], objective, optimizer))
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("compile=true")]
    assert said[0].endswith("blocks are compiled at the first steps; all else runs as before")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_compiled_blocks_train_as_others_do(reciting, sets, precision):
    within = 1e-3 if precision == "32-true" else 0.3  # compiled, less is rounded to bf16 in between
    alike(two_runs(reciting, sets, [CompiledBlocks()], Demote(), Kfac(probe_rows=2), precision=precision), within)


@pytest.mark.slow
def test_what_is_not_compiled_is_said(reciting, sets, capsys):
    block = type(reciting.transformer.h[0])
    forward = block.forward

    def breaking(self, *given, **settings):
        torch._dynamo.graph_break()
        return forward(self, *given, **settings)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(block, "forward", breaking)
        alike(two_runs(reciting, sets, [CompiledBlocks("eager")], Demote(), ADAM))
    assert "compile=true: a part of a block was not compiled and ran as before: " in capsys.readouterr().out


@pytest.mark.slow
def test_deeper_models_than_pytorch_compiles_by_itself(capsys):
    """Twelve blocks, each with a word of its own in its forward pass: PyTorch gives up after eight versions of one code."""
    model = tiny.tiny_model("llama").model
    layers = model.layers
    layers.extend(copy.deepcopy(layers[0]) for _ in range(10))
    model.config.num_hidden_layers = len(layers)

    class Holding(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

    traced = []

    def counting(graph, _):
        traced.append(1)
        return graph.forward

    forward = type(layers[0]).forward
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(layers[0]), "forward", lambda self, x, **given: forward(self, x, **given) / len(self.mark))
        for number, layer in enumerate(layers):
            layer.mark = "x" * (number + 1)
        callback, module = CompiledBlocks(counting), Holding()
        callback.on_train_start(None, module)
        model(input_ids=tiny.some_ids(1, 2, 5), use_cache=False)
        callback.on_train_end(None, module)
    assert len(traced) == len(layers)


def test_without_a_compiler_it_is_one_line(monkeypatch):
    check_compiler("cpu")
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("there-is-no-such-compiler",))
    with pytest.raises(UserError, match="compile=true needs a C.. compiler, and none is found: install g"):
        check_compiler("cpu")


def test_without_triton_it_is_one_line_on_a_gpu(monkeypatch):
    monkeypatch.setattr("torch.utils._triton.has_triton", lambda: False)
    with pytest.raises(UserError, match="needs Triton"):
        check_compiler("gpu")
