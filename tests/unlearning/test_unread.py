"""Losses are read back every few steps: nothing waits for the device in between, no delta is copied, and nothing is lost."""

import copy
import sys
from contextlib import contextmanager
from functools import partial

import lightning
import pytest
import torch
from lightning.pytorch.loggers import Logger
from tiny_runs import Poisoned, Recorder, quiet_trainer, same, some_mask

from memunlearn.objectives.contrastive import Unlearn
from memunlearn.objectives.material import Losses, Needs
from memunlearn.unlearning.stopping import StopRule
from memunlearn.unlearning.training import unlearn
from memunlearn.unlearning.unread import is_look, means

ADAM = partial(torch.optim.Adam, lr=1e-3)
# A transformer looks at its attention mask, PyTorch's optimizers at step counters, and a pass at the ids of its rows, that lie
# on the CPU.
NOT_OURS = ("/transformers/", "/torch/optim/", "/scoring/inputs.py")
READS = ("item", "tolist", "__bool__", "__float__", "__int__", "numpy", "cpu")


class Rows(Logger):
    """What a logger is given, in order."""

    def __init__(self):
        super().__init__()
        self.rows = []

    name = version = ""

    def log_hyperparams(self, *_, **__):
        pass

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, dict(metrics)))


class PerStep(lightning.Callback):
    """Of each step what was called while it was taken."""

    def __init__(self):
        self.calls, self.current = {}, None

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        self.current = self.calls.setdefault(trainer.global_step, [])

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        self.current = None


@contextmanager
def counted(watch, methods):
    """Every call of these methods of tensors, with the tensor's shape, but for those of NOT_OURS."""
    originals = {name: getattr(torch.Tensor, name) for name in methods}

    def counting(name):
        def call(self, *given, **settings):
            frame = sys._getframe(1)
            if watch.current is not None and not any(part in frame.f_code.co_filename for part in NOT_OURS):
                watch.current.append((name, tuple(self.shape), frame.f_code.co_filename))
            return originals[name](self, *given, **settings)

        return call

    for name in methods:
        setattr(torch.Tensor, name, counting(name))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(torch.Tensor, name, original)


def fit(model, preparation, steps, extra=(), objective=None, rule=None, logger=False, seed=3, **settings):
    def make(callbacks, max_steps):
        trainer = quiet_trainer(steps, extra, **settings)(callbacks, max_steps)
        if logger:
            trainer.loggers = [logger]
        return trainer

    mask = some_mask(model)
    return unlearn(
        model, mask, preparation, objective or Unlearn(), ADAM, stop=rule, make_trainer=make, batch_size=2, seed=seed
    )


def test_looks_are_many_at_first_and_then_every_tenth_step():
    assert [step for step in range(45) if is_look(step)] == [0, 1, 2, 4, 8, 10, 16, 20, 30, 32, 40]


def test_between_looks_nothing_is_read_from_the_device_and_no_delta_is_copied(reciting, preparation):
    watch = PerStep()
    with counted(watch, (*READS, "clone")):
        fit(reciting, preparation, 30, [watch], logger=Rows(), log_every_n_steps=1)
    sizes = {tuple(delta.shape) for delta in some_mask(reciting).indices.values()}
    assert watch.calls.keys() == set(range(30))
    for step, calls in watch.calls.items():
        reads = [call for call in calls if call[0] in READS]
        copies = [call for call in calls if call[0] == "clone" and call[1] in sizes]
        if is_look(step):
            assert reads and copies, "the counter would see nothing"
        else:
            assert not reads and not copies, f"step {step}: {reads} {copies}"


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("every", [1, 3])
def test_the_curve_has_every_row_once_in_order_and_right(reciting, preparation, every, accumulate):
    """Against losses that an objective notes itself."""
    noted = []

    class Noting:
        needs = Needs()

        def __call__(self, step):
            losses = Unlearn()(step)
            noted.append([float(v) for v in (losses.total, losses.forget_nll, losses.retain_kl)])
            return losses

    rows = Rows()
    fit(
        reciting,
        preparation,
        13,
        objective=Noting(),
        logger=rows,
        log_every_n_steps=every,
        accumulate_grad_batches=accumulate,
    )
    # 5 forget and 7 retain rows in batches of 2: 4 batches an epoch, the last of which is a step whatever is accumulated.
    last = [number for number in range(len(noted)) if (number % 4) % accumulate == accumulate - 1]
    wanted = [step for step in range(13) if (step + 1) % every == 0]
    assert [step for step, _ in rows.rows] == wanted
    for step, row in rows.rows:
        assert list(row) == ["epoch", "train/loss", "train/forget_nll", "train/retain_kl"]
        assert [row[name] for name in list(row)[1:]] == noted[last[step]]
        assert row["epoch"] == last[step] // 4


def test_a_check_comes_before_the_row_of_its_step_and_after_the_others(reciting, preparation):
    rows = Rows()
    rule = StopRule(every=5, forget_em=0.0, max_kl=100.0, max_steps=12)
    fit(reciting, preparation, None, rule=rule, logger=rows, log_every_n_steps=1)
    kinds = [(step, "check" if "check/forget_em" in row else "train") for step, row in rows.rows]
    train = [(step, "train") for step in range(12)]
    expected = [(1, "check"), *train[:4], (5, "check"), *train[4:9], (10, "check"), *train[9:11], (12, "check"), train[11]]
    assert kinds == expected


def test_the_row_of_the_step_at_which_the_rule_stops_is_logged_whatever_the_interval(reciting, preparation):
    rows = Rows()
    rule = StopRule(every=4, forget_em=9.0, max_kl=1e-9, max_steps=40)
    trained = fit(reciting, preparation, None, rule=rule, logger=rows, log_every_n_steps=100)
    assert trained.stopped_because == "max_kl" and trained.steps < 40
    assert [step for step, row in rows.rows if "train/loss" in row] == [trained.steps - 1]


@pytest.mark.parametrize("at", [1, 2, 3, 4, 6, 8, 13, 25])
def test_a_loss_that_is_not_finite_is_found_later_and_named_right(reciting, preparation, at):
    """`at`: the call that gives NaN, after at - 1 steps. What is kept was looked at; what followed is in no curve."""
    recorder, rows = Recorder(), Rows()
    trained = fit(reciting, preparation, 40, [recorder], objective=Poisoned(at=at, times=1), logger=rows, log_every_n_steps=1)
    kept = max((step for step in range(at - 1) if is_look(step)), default=0)
    assert (trained.stopped_because, trained.steps, trained.kept_step) == ("nan", at - 1, kept)
    assert [step for step, _ in rows.rows] == list(range(at - 1))
    if at > 1:
        assert same(trained.patch.deltas, recorder.deltas[kept])
    assert all(bool(delta.isfinite().all()) for delta in trained.patch.deltas.values())


def test_a_check_finds_it_at_the_latest(reciting, preparation):
    poisoned = Poisoned(at=7)
    rule = StopRule(every=2, forget_em=0.0, max_kl=100.0, max_steps=40)
    trained = fit(reciting, preparation, None, objective=poisoned, rule=rule)
    assert (trained.stopped_because, trained.steps, trained.kept_step) == ("nan", 6, 4) and len(poisoned.calls) == 8
    assert max(checked.step for checked in trained.trajectory) == 6


def test_the_bar_and_callbacks_see_the_last_values_that_were_read(reciting, preparation):
    seen = {}

    class Watch(lightning.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
            seen[trainer.global_step - 1] = (
                trainer.progress_bar_metrics.get("train/loss"),
                trainer.callback_metrics.get("train/loss"),
            )

    recorder = Recorder()
    fit(reciting, preparation, 6, [Watch(), recorder])
    for step, last in ((0, 0), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4)):
        shown, known = seen[step]
        assert shown == float(known) == pytest.approx(recorder.losses[last], rel=1e-6)


class Multiplier(torch.nn.Module):
    """An objective that remembers: the forget term counts more at each step."""

    needs = Needs()

    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.tensor(0.1))

    def forward(self, step):
        losses = Unlearn()(step)
        self.weight += 0.1
        return Losses(self.weight.clone() * losses.forget_term, losses.retain_term, losses.forget_nll, losses.retain_kl)


def test_an_objective_that_remembers_finds_its_state_in_a_checkpoint(reciting, preparation, tmp_path):
    from lightning.pytorch.callbacks import ModelCheckpoint

    base, mask = copy.deepcopy(reciting), some_mask(reciting)

    def run(model, extra=(), resume_from=None):
        return unlearn(
            model,
            mask,
            preparation,
            Multiplier(),
            ADAM,
            stop=None,
            make_trainer=quiet_trainer(7, extra),
            batch_size=2,
            resume_from=resume_from,
        )

    whole = run(reciting, [ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)])
    resumed = run(base, resume_from=tmp_path / "step=3.ckpt")
    assert same(resumed.patch.deltas, whole.patch.deltas)
    state = torch.load(tmp_path / "step=3.ckpt", weights_only=True)
    assert float(state["objective"]["weight"]) == pytest.approx(0.4)


def test_a_checkpoint_of_an_earlier_version_is_gone_on_from(reciting, preparation, tmp_path):
    """It knows of no step at which losses diverged."""
    from lightning.pytorch.callbacks import ModelCheckpoint

    base, mask = copy.deepcopy(reciting), some_mask(reciting)
    saver = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    whole = fit(reciting, preparation, 5, [saver])
    path = tmp_path / "step=2.ckpt"
    state = torch.load(path, weights_only=True)
    assert state["last_good"].pop("diverged_at") is None
    torch.save(state, path)
    make = quiet_trainer(5)
    resumed = unlearn(
        base, mask, preparation, Unlearn(), ADAM, stop=None, make_trainer=make, batch_size=2, seed=3, resume_from=path
    )
    assert same(resumed.patch.deltas, whole.patch.deltas)


def test_going_on_from_where_losses_had_diverged_ends_at_once(reciting, preparation, tmp_path):
    from lightning.pytorch.callbacks import ModelCheckpoint

    base, mask = copy.deepcopy(reciting), some_mask(reciting)
    saver = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=6, save_top_k=-1)
    whole = fit(reciting, preparation, 20, [saver], objective=Poisoned(at=6))
    assert (whole.stopped_because, whole.steps, whole.kept_step) == ("nan", 5, 4)
    path, never = tmp_path / "step=6.ckpt", Poisoned(at=10_000)
    make = quiet_trainer(20)
    resumed = unlearn(
        base, mask, preparation, never, ADAM, stop=None, make_trainer=make, batch_size=2, seed=3, resume_from=path
    )
    assert (resumed.stopped_because, resumed.steps, resumed.kept_step) == ("nan", 5, 4) and not never.calls
    assert same(resumed.patch.deltas, whole.patch.deltas)


def test_the_curve_shows_means_over_the_rows_of_a_batch_in_whatever_parts():
    """Against the means over all rows of values that each row has."""
    generator = torch.Generator().manual_seed(3)
    forget, retain = torch.rand(5, 2, generator=generator), torch.rand(7, 2, generator=generator)  # term and what is shown
    minimised = torch.tensor([[0.25], [0.75], [2.0]])
    parts = [(slice(0, 2), slice(0, 1)), (slice(2, 5), slice(1, 4)), (slice(0, 0), slice(4, 7))]
    values, weights = [], []
    for number, (f, r) in enumerate(parts):
        # A part without rows shows some row, with weight 0.
        of_forget = forget[f].mean(0) if len(forget[f]) else forget[0]
        of_retain = retain[r].mean(0)
        both = torch.stack([of_forget[0], of_retain[0], of_forget[1], of_retain[1]])
        values.append(torch.cat([minimised[number], both]).unsqueeze(0))
        # Of a step of two such batches.
        weights.append(torch.tensor([[len(forget[f]) / 10, len(retain[r]) / 14]]))
    row = means(torch.stack(values), torch.stack(weights))
    expected = [1.0, float(forget[:, 0].mean() + retain[:, 0].mean()), float(forget[:, 1].mean()), float(retain[:, 1].mean())]
    assert row.shape == (1, 4) and row[0].tolist() == pytest.approx(expected, rel=1e-6)


def test_a_side_without_rows_is_shown_as_what_stands_in_for_it():
    values = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]], [[3.0, 2.0, 7.0, 4.0, 9.0]]])
    row = means(values, torch.tensor([[[0.0, 0.25]], [[0.0, 0.75]]]))
    assert row[0].tolist() == [2.0, 2.0 + 6.0, 4.0, 8.0]


def test_what_is_not_finite_in_one_process_is_not_finite_for_all():
    values = torch.ones(2, 3, 5)
    values[1, 1, 0] = torch.nan
    assert means(values, torch.full((2, 3, 2), 0.5))[:, 0].isfinite().tolist() == [True, False, True]
