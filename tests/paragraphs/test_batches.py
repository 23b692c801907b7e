"""The order of rows: none dropped, none frozen, resumable anywhere (docs/published_code.md, point 9)."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memunlearn.errors import UserError
from memunlearn.paragraphs.batches import BatchLoader, PairedEpochs, Trials, protected_rows_a_batch
from memunlearn.paragraphs.data_module import UnlearningData

quick = settings(max_examples=150, deadline=None)
plans = st.builds(
    PairedEpochs,
    forget_rows=st.integers(1, 23),
    retain_rows=st.integers(1, 23),
    forget_batch=st.integers(1, 7),
    retain_batch=st.integers(1, 7),
    seed=st.integers(0, 5),
)
accumulated = st.tuples(plans, st.integers(2, 4)).map(lambda drawn: replace(drawn[0], accumulate=drawn[1]))
trials = st.integers(1, 5).flatmap(
    lambda batch: st.builds(
        Trials,
        trials=st.integers(1, 5),
        steps=st.integers(1, 4),
        retain_rows=st.integers(batch, 12),
        retain_batch=st.just(batch),
        seed=st.integers(0, 5),
    )
)


def sizes(plan):
    return {"forget": (plan.forget_rows, plan.forget_batch), "retain": (plan.retain_rows, plan.retain_batch)}


def batches_of(rows, batch):
    return (rows + batch - 1) // batch


def as_lists(batches):
    return [{name: rows.tolist() for name, rows in batch.items()} for batch in batches]


@quick
@given(plan=plans, number=st.integers(0, 4))
def test_an_epoch_is_one_pass_over_the_larger_set_and_drops_no_row(plan, number):
    epoch = plan.epoch(number)
    assert len(epoch) == len(plan) == max(batches_of(*size) for size in sizes(plan).values())
    for name, (rows, batch) in sizes(plan).items():
        used = [row for one in epoch for row in one[name].tolist()]
        counts = Counter(used)
        assert set(counts) == set(range(rows))
        if batches_of(rows, batch) == len(plan):
            assert set(counts.values()) == {1}
            assert [len(one[name]) for one in epoch[:-1]] == [batch] * (len(plan) - 1)
        else:
            assert [len(one[name]) for one in epoch] == [batch] * len(plan)
            assert max(counts.values()) - min(counts.values()) <= 1
            passes = [used[start : start + rows] for start in range(0, len(used), rows)]
            assert all(len(set(one)) == len(one) for one in passes)


@quick
@given(plan=plans, number=st.integers(0, 4))
def test_an_epoch_depends_on_seed_and_number_only(plan, number):
    torch.manual_seed(number)
    one = as_lists(plan.epoch(number))
    torch.manual_seed(99)
    plan.epoch(number + 1)
    assert as_lists(plan.epoch(number)) == one


@quick
@given(plan=accumulated, number=st.integers(0, 3))
def test_an_accumulated_step_is_the_step_of_one_large_batch(plan, number):
    """Groups are counted as Lightning counts them: `accumulate` batches, and what is left at the end of an epoch."""
    wide = PairedEpochs(
        forget_rows=plan.forget_rows,
        retain_rows=plan.retain_rows,
        forget_batch=plan.accumulate * plan.forget_batch,
        retain_batch=plan.accumulate * plan.retain_batch,
        seed=plan.seed,
    )
    epoch, expected = plan.epoch(number), wide.epoch(number)
    assert len(epoch) == len(plan) and plan.steps == len(wide)
    groups = [epoch[start : start + plan.accumulate] for start in range(0, len(epoch), plan.accumulate)]
    assert len(groups) == len(expected)
    for group, step in zip(groups, expected, strict=True):
        for place, (name, size) in enumerate((("forget", plan.forget_batch), ("retain", plan.retain_batch))):
            weight = Counter()  # of each row's own value in the step
            for batch in group:
                assert 1 <= len(batch[name]) <= size
                for row in batch[name].tolist():
                    weight[row] += float(batch["weights"][place]) / len(batch[name])
            wanted = Counter()
            for row in step[name].tolist():
                wanted[row] += 1 / len(step[name])
            assert {row: weight[row] for row in weight if weight[row]} == pytest.approx(wanted, abs=1e-6)


def test_the_smaller_set_is_reshuffled_on_every_pass():
    plan = PairedEpochs(forget_rows=9, retain_rows=60, forget_batch=3, retain_batch=3, seed=0)
    used = [row for one in plan.epoch(0) for row in one["forget"].tolist()]
    passes = {tuple(used[start : start + 9]) for start in range(0, 54, 9)}
    assert len(passes) == 6


def test_every_epoch_and_every_seed_has_its_own_order():
    """published_code.md, 9: cycling over a list freezes the batches."""
    plans_ = [PairedEpochs(forget_rows=12, retain_rows=17, forget_batch=4, retain_batch=4, seed=seed) for seed in range(4)]
    for name in ("forget", "retain"):
        orders = {tuple(row for one in plan.epoch(e) for row in one[name].tolist()) for plan in plans_ for e in range(5)}
        assert len(orders) == 20
    pairs = {
        (f, r) for e in range(30) for one in plans_[0].epoch(e) for f in one["forget"].tolist() for r in one["retain"].tolist()
    }
    assert len(pairs) == 12 * 17  # every forget row meets every retain row


@quick
@given(plan=plans | accumulated | trials, taken=st.integers(0, 60))
def test_resuming_anywhere_gives_the_batches_that_are_left(plan, taken):
    def endless(loader):
        while True:
            yield from loader

    def take(batches, count):
        return as_lists([next(batches) for _ in range(count)])

    expected = take(endless(BatchLoader(plan)), taken + 2 * len(plan))
    first = BatchLoader(plan)
    assert take(endless(first), taken) == expected[:taken]
    resumed = BatchLoader(plan)
    resumed.load_state_dict(first.state_dict())
    assert take(endless(resumed), 2 * len(plan)) == expected[taken:]


def test_a_state_is_a_copy():
    loader = BatchLoader(PairedEpochs(forget_rows=5, retain_rows=9, forget_batch=2, retain_batch=2, seed=0))
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    next(batches)
    assert state == {"epoch": 0, "batch": 1} and loader.state_dict() == {"epoch": 0, "batch": 2}
    resumed = BatchLoader(loader.plan)
    resumed.load_state_dict(state)
    next(iter(resumed))
    assert state == {"epoch": 0, "batch": 1}


def test_the_data_module_hands_out_one_loader():
    data = UnlearningData(PairedEpochs(forget_rows=5, retain_rows=9, forget_batch=2, retain_batch=2, seed=0))
    assert data.train_dataloader() is data.train_dataloader() and len(data.train_dataloader()) == 5


@quick
@given(plan=trials, number=st.integers(0, 3))
def test_a_trial_keeps_its_rows_for_all_of_its_steps(plan, number):
    epoch = as_lists(plan.epoch(number))
    assert len(epoch) == len(plan) == plan.trials * plan.steps
    for index, batch in enumerate(epoch):
        trial = index // plan.steps
        assert batch == {"forget": [trial], "retain": plan.retain_of(trial).tolist(), "weights": [1.0, 1.0]}
        assert len(set(batch["retain"])) == plan.retain_batch and set(batch["retain"]) <= set(range(plan.retain_rows))


def test_every_trial_and_every_seed_draws_its_own_retain_rows():
    rows = [tuple(Trials(6, 2, 40, 5, seed).retain_of(trial).tolist()) for seed in range(3) for trial in range(6)]
    assert len(set(rows)) == 18


protecting = st.tuples(plans | accumulated, st.integers(1, 23), st.integers(1, 4)).map(
    lambda drawn: replace(drawn[0], protected_rows=drawn[1], protected_batch=drawn[2])
)


@quick
@given(plan=protecting, number=st.integers(0, 3))
def test_protected_rows_stand_in_every_step_and_change_no_other_row(plan, number):
    epoch, without = plan.epoch(number), replace(plan, protected_rows=0, protected_batch=0).epoch(number)
    assert len(epoch) == len(plan)
    for name in ("forget", "retain"):
        used = [row for batch in epoch for row, _ in rows_that_count(plan, batch, name)]
        expected = [row for batch in without for row, _ in rows_that_count(plan, batch, name)]
        assert used == expected
    rows = [row for batch in epoch for row in batch["protected"].tolist()]
    assert len(rows) == plan.steps * plan.accumulate * plan.protected_batch
    counts = Counter(rows)
    assert set(counts) <= set(range(plan.protected_rows)) and max(counts.values()) - min(counts.values()) <= 1
    assert all(len(batch["protected"]) <= plan.protected_batch for batch in epoch)


def rows_that_count(plan, batch, name):
    """Rows with a weight; a batch without any of a side's has one that weighs nothing."""
    place = 0 if name == "forget" else 1
    weight = float(batch["weights"][place])
    return [(row, weight) for row in batch[name].tolist()] if weight else []


@quick
@given(plan=protecting, number=st.integers(0, 3))
def test_every_kept_row_of_a_step_weighs_the_same(plan, number):
    epoch = plan.epoch(number)
    for start in range(0, len(epoch), plan.accumulate):
        group = epoch[start : start + plan.accumulate]
        weights, count = [], 0
        for batch in group:
            rows, weight = len(batch["retain"]) + len(batch["protected"]), float(batch["weights"][1])
            weights += [weight / rows] * (rows if weight else 0)
            count += rows if weight else 0
        assert weights == pytest.approx([1 / count] * count, abs=1e-6)
        assert sum(float(batch["weights"][0]) for batch in group) == pytest.approx(1.0, abs=1e-6)


def test_a_plan_without_protected_rows_names_none():
    plan = PairedEpochs(forget_rows=5, retain_rows=9, forget_batch=2, retain_batch=2, seed=0)
    assert all(batch.keys() == {"forget", "retain", "weights"} for batch in plan.epoch(0))


@pytest.mark.parametrize(("share", "rows"), [(0.5, 8), (0.25, 4), (0.06, 1), (0.94, 15)])
def test_a_share_of_a_batch_is_protected(share, rows):
    assert protected_rows_a_batch(16, share) == rows


@pytest.mark.parametrize(("size", "share"), [(16, 0.0), (16, 0.03), (16, 1.0), (16, -0.5), (1, 0.5)])
def test_a_share_that_leaves_none_or_no_others_is_refused(size, share):
    with pytest.raises(UserError, match=f"paragraphs.protected_share={share}: .* of the {size} rows"):
        protected_rows_a_batch(size, share)


@settings(max_examples=50, deadline=None)
@given(plan=plans | accumulated | protecting, processes=st.integers(2, 4), number=st.integers(0, 3))
def test_the_processes_together_take_the_step_of_one(plan, processes, number):
    """Each row counts in a step's means as it does in one process, wherever it is; positions in an epoch are the same."""
    shared = [replace(plan, processes=processes, process=process) for process in range(processes)]
    assert {len(one) for one in shared} == {len(plan)} and all(len(one.epoch(number)) == len(plan) for one in shared)
    alone = plan.epoch(number)
    for start in range(0, len(alone), plan.accumulate):
        group = slice(start, start + plan.accumulate)
        ours = [batch for one in shared for batch in one.epoch(number)[group]]
        for place, sides in enumerate((("forget",), ("retain", "protected"))):
            assert counted_rows(ours, sides, place) == pytest.approx(counted_rows(alone[group], sides, place), abs=1e-6)
            assert sum(float(batch["weights"][place]) for batch in ours) == pytest.approx(1, abs=1e-6)
    for one in shared:
        assert all(
            len(batch["forget"]) and len(batch["retain"]) + len(batch.get("protected", ())) for batch in one.epoch(number)
        )


def counted_rows(batches, sides, place):
    """How much each row's own value counts in the step, by side and row: the naive sum over batches of weight / rows."""
    counts = Counter()
    for batch in batches:
        rows = [(side, row) for side in sides if side in batch for row in batch[side].tolist()]
        for row in rows:
            counts[row] += float(batch["weights"][place]) / len(rows)
    return {row: count for row, count in counts.items() if count}
