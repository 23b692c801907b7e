"""Checkpoints hold deltas, not the base model, and a run that goes on from one is the run that was never interrupted."""

import copy
import re
from functools import partial

import pytest
import tiny_architectures as tiny
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny_runs import Poisoned, Recorder, deltas_of, quiet_trainer, same, some_mask

from memunlearn.errors import UserError
from memunlearn.masks import Mask, select_all
from memunlearn.models import eligible_weights
from memunlearn.objectives.contrastive import Unlearn
from memunlearn.unlearning.checkpoints import WholeCheckpoints, checkpoint_mask
from memunlearn.unlearning.preparation import prepare
from memunlearn.unlearning.stopping import StopRule
from memunlearn.unlearning.training import unlearn

ADAM = partial(torch.optim.Adam, lr=5e-3)
STEPS = 10  # forget 5 and retain 7 rows in batches of 2: 4 batches an epoch, so 10 steps end in the third


def every_step(directory, made):
    """Keeps the checkpoint after each step, and notes its deltas."""
    return [ModelCheckpoint(directory, "{step}", every_n_train_steps=1, save_top_k=-1), made]


def run(model, mask, preparation, extra=(), rule=None, resume_from=None, max_steps=STEPS, objective=None, **settings):
    make = quiet_trainer(max_steps, extra, **settings)
    objective = objective or Unlearn(1.0, 0.5)
    return unlearn(
        model, mask, preparation, objective, ADAM, stop=rule, make_trainer=make, batch_size=2, seed=3, resume_from=resume_from
    )


def resumed_mask(path, mask):
    indices = checkpoint_mask(path)
    assert indices.keys() == mask.indices.keys()
    for name, flat in indices.items():
        assert (flat is None) == (mask.indices[name] is None)
        assert flat is None or torch.equal(flat, mask.indices[name])
    return Mask(indices, mask.counts, mask.eligible)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_going_on_is_never_having_stopped(reciting, preparation, tmp_path, accumulate):
    """Bit for bit, from the middle of an epoch and from its end, with Adam's moments."""
    base, mask = copy.deepcopy(reciting), some_mask(reciting)
    recorder = Recorder()
    whole = run(reciting, mask, preparation, every_step(tmp_path, recorder), accumulate_grad_batches=accumulate)
    assert whole.steps == STEPS
    for step in (1, 2, 3, 4, 6, 8, 9):
        path = tmp_path / f"step={step}.ckpt"
        fresh, again = copy.deepcopy(base), Recorder()
        trained = run(
            fresh, resumed_mask(path, mask), preparation, [again], resume_from=path, accumulate_grad_batches=accumulate
        )
        assert same(again.deltas[step], recorder.deltas[step])
        assert trained.steps == STEPS and same(trained.patch.deltas, whole.patch.deltas)
        assert again.losses == recorder.losses[recorder.steps.index(step) + 1 :]
    assert not same(recorder.deltas[STEPS - 1], recorder.deltas[STEPS])


@pytest.mark.parametrize("scheme", ["forgotten", "max_steps"])
def test_going_on_keeps_and_stops_as_if_never_stopped(reciting, preparation, tmp_path, scheme):
    """With a rule: also from the checkpoint of the very step at which it said enough."""
    rule = {
        "forgotten": StopRule(every=2, forget_em=2.0, max_kl=100.0, max_steps=40),
        "max_steps": StopRule(every=3, forget_em=0.0, max_kl=100.0, max_steps=8),
    }[scheme]
    base, mask = copy.deepcopy(reciting), some_mask(reciting, 0.5)
    whole = run(reciting, mask, preparation, every_step(tmp_path, Recorder()), rule)
    assert whole.stopped_because == {"forgotten": "forget_em", "max_steps": "max_steps"}[scheme] and whole.steps > 3
    for step in sorted({1, 3, whole.kept_step, whole.steps - 1, whole.steps}):
        path = tmp_path / f"step={step}.ckpt"
        fresh = copy.deepcopy(base)
        trained = run(fresh, resumed_mask(path, mask), preparation, [Recorder()], rule, path)
        assert (trained.steps, trained.kept_step, trained.stopped_because) == (
            whole.steps,
            whole.kept_step,
            whole.stopped_because,
        )
        assert same(trained.patch.deltas, whole.patch.deltas) and same(deltas_of(fresh), whole.patch.deltas)


def test_nan_right_after_going_on_keeps_what_an_uninterrupted_run_keeps(reciting, preparation, tmp_path):
    base, mask = copy.deepcopy(reciting), some_mask(reciting)
    whole = run(reciting, mask, preparation, every_step(tmp_path, Recorder()), objective=Poisoned(at=4))
    path = tmp_path / "step=3.ckpt"
    trained = run(base, resumed_mask(path, mask), preparation, resume_from=path, objective=Poisoned(at=1))
    for one in (whole, trained):
        assert (one.stopped_because, one.steps, one.kept_step) == ("nan", 3, 2)
    assert same(trained.patch.deltas, whole.patch.deltas) and all(bool(delta.any()) for delta in whole.patch.deltas.values())


def test_a_checkpoint_holds_no_base_weights_and_only_plain_types(reciting, preparation, tmp_path):
    mask = some_mask(reciting)
    run(
        reciting, mask, preparation, every_step(tmp_path, Recorder()), StopRule(every=2, max_kl=100.0, max_steps=3), max_steps=3
    )
    state = torch.load(tmp_path / "step=3.ckpt", weights_only=True)["state_dict"]
    expected = {
        re.sub(r"\.weight$", f".parametrizations.weight.0.{field}", f"model.{name}")
        for name in mask.indices
        for field in ("delta", "indices")
    }
    assert state.keys() == expected
    # For each weight a delta, two moments, the best and the last good delta of 4 bytes and an index of 8; and the loops.
    assert (tmp_path / "step=3.ckpt").stat().st_size < 28 * mask.k + 1000 * (6 * len(mask.indices)) + 30_000
    assert mask.k * 5 < sum(p.numel() for p in reciting.parameters())


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_mask_comes_back_in_every_architecture(family, sets, tmp_path):
    model = tiny.tiny_model(family)
    preparation = prepare(model, sets, batch_size=8)
    mask = some_mask(model, 0.1)
    whole = next(iter(mask.indices))
    weights = {weight.name: weight.size for weight in eligible_weights(model)}
    mask = Mask({**mask.indices, whole: None}, {**mask.counts, whole: weights[whole]}, mask.eligible)
    run(model, mask, preparation, every_step(tmp_path, Recorder()), max_steps=1)
    resumed_mask(tmp_path / "step=1.ckpt", mask)


def test_a_dense_mask_comes_back_as_dense(reciting, preparation, tmp_path):
    mask = select_all(eligible_weights(reciting))
    base = copy.deepcopy(reciting)
    whole = run(reciting, mask, preparation, every_step(tmp_path, Recorder()), max_steps=3)
    path = tmp_path / "step=2.ckpt"
    trained = run(base, resumed_mask(path, mask), preparation, resume_from=path, max_steps=3)
    assert same(trained.patch.deltas, whole.patch.deltas)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_refused(reciting, preparation, tmp_path, content):
    run(reciting, some_mask(reciting), preparation, every_step(tmp_path, Recorder()), max_steps=1)
    path = tmp_path / "step=1.ckpt"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)
    with pytest.raises(UserError, match="is not a readable checkpoint"):
        checkpoint_mask(path)


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(tmp_path, monkeypatch):
    path, io = tmp_path / "last.ckpt", WholeCheckpoints()
    io.save_checkpoint({"a": torch.arange(3)}, path)
    before = path.read_bytes()

    def full(self, content):
        self.open("wb").write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.write_bytes", full)
        with pytest.raises(OSError, match="last.ckpt"):
            io.save_checkpoint({"a": torch.arange(4)}, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    io.save_checkpoint({"a": torch.arange(4)}, path)
    assert torch.equal(io.load_checkpoint(path, weights_only=True)["a"], torch.arange(4))


def test_checkpoints_do_not_go_through_another_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.mkstemp", lambda *arguments, **settings: pytest.fail("went through TMPDIR"))
    WholeCheckpoints().save_checkpoint({"a": 1}, tmp_path / "new" / "last.ckpt")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["last.ckpt"]


def test_a_checkpoint_of_another_run_is_refused(reciting, preparation, tmp_path):
    mask = some_mask(reciting)
    run(copy.deepcopy(reciting), mask, preparation, every_step(tmp_path, Recorder()), max_steps=1)
    state = torch.load(tmp_path / "step=1.ckpt", weights_only=True)
    state["optimizer_states"] = [{}]
    torch.save(state, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match="other.ckpt is not a readable checkpoint of this run"):
        run(reciting, mask, preparation, resume_from=tmp_path / "other.ckpt", max_steps=2)
