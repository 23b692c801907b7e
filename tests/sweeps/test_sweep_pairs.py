"""The two runs of a seed, row by row, against loops over their files."""

import fake_sweeps
import pytest

from memunlearn.scoring.metrics import ALTERNATIVE_EM, EM, KL
from memunlearn.sweeps.pairs import (
    Row,
    at_equal_forget_em,
    at_equal_steps,
    at_the_end,
    kept_steps,
    rows_of,
    run_pairs,
    trials_of,
)
from memunlearn.sweeps.quantities import Column
from memunlearn.sweeps.runs import read_sweep
from memunlearn.sweeps.settings import settings_of

FORGET, RETAIN = Column(EM, "forget"), Column(KL, "retain")


def pairs_of(folder, by_row=True, with_alternative=False, **more):
    """Two settings (gradient, random) with seeds 0 to 2 and 1 to 3."""
    for first, mask in enumerate(("gradient", "random")):
        for seed in range(first, first + 3):
            fake_sweeps.write_run(folder / mask / str(seed), fake_sweeps.config("edit", mask, seed), **more)
    return paired(folder, by_row, with_alternative)


def paired(folder, by_row=True, with_alternative=False):
    a, b = settings_of(read_sweep(folder))
    return run_pairs(a, b, by_row, with_alternative)


def values(run, name, column):
    return {row["index"]: row[column] for row in run.paragraphs if row["set"] == name}


def test_runs_with_equal_seeds_are_pairs(tmp_path):
    pairs = pairs_of(tmp_path)
    assert [pair.seed for pair in pairs] == ["1", "2"] and all(pair.forget_rows is None for pair in pairs)
    assert [(pair.a.folder, pair.b.folder) for pair in pairs] == [("gradient/1", "random/1"), ("gradient/2", "random/2")]


def test_the_end_is_paired_by_row(tmp_path):
    pairs = pairs_of(tmp_path)
    for column, name, key in ((FORGET, "forget", "em_after"), (RETAIN, "retain", "kl")):
        for pair, found in zip(pairs, at_the_end(pairs, column), strict=True):
            a, b = values(pair.a, name, key), values(pair.b, name, key)
            assert found.differences == pytest.approx([a[index] - b[index] for index in a]) and found.trials is None
            assert found.a == pytest.approx(sum(a.values()) / len(a)) and found.b == pytest.approx(sum(b.values()) / len(b))
            assert found.clusters == tuple(row["cluster"] for row in pair.a.paragraphs if row["set"] == name)


def test_only_rows_with_an_alternative_of_the_forget_set(tmp_path):
    pairs = pairs_of(tmp_path, with_alternative=True)
    for pair, found, kl in zip(pairs, at_the_end(pairs, FORGET), at_the_end(pairs, RETAIN), strict=True):
        kept = {row["index"] for row in pair.b.paragraphs if row["set"] == "forget" and row["alternative"] is not None}
        assert pair.forget_rows == kept and 0 < len(kept) < fake_sweeps.FORGET
        a, b = values(pair.a, "forget", "em_after"), values(pair.b, "forget", "em_after")
        assert found.differences == pytest.approx([a[index] - b[index] for index in sorted(kept)])
        assert len(kl.differences) == fake_sweeps.RETAIN


def test_means_where_rows_cannot_be_paired(tmp_path):
    pairs = pairs_of(tmp_path, by_row=False)
    for pair, found in zip(pairs, at_the_end(pairs, FORGET), strict=True):
        assert (found.a, found.b) == tuple(run.result["after"]["forget"]["em"] for run in (pair.a, pair.b))
        assert found.differences == () and found.interval is None
    (tmp_path / "random" / "2" / "paragraphs.parquet").unlink()  # of one pair: then of none
    assert [found.differences for found in at_the_end(paired(tmp_path), FORGET)] == [(), ()]


def test_a_pair_without_the_mean_is_left_out(tmp_path):
    pairs = pairs_of(tmp_path, by_row=False)
    del pairs[0].a.result["after"]["retain"]["kl"]
    assert [found.seed for found in at_the_end(pairs, RETAIN)] == ["2"]


def test_kept_steps(tmp_path):
    pairs = pairs_of(tmp_path)
    pairs[0].a.result["kept_step"] = None  # as of a protocol that keeps none
    pairs[1].b.result["kept_step"] = 3
    found = kept_steps(pairs)
    assert found[0].a == pairs[0].a.result["steps"] and found[1].b == 3.0
    assert found[0].b == pairs[0].b.result["kept_step"]


def test_equal_steps_are_the_last_that_both_have(tmp_path):
    pairs = pairs_of(tmp_path)
    found, steps = at_equal_steps(pairs, "retain_val", "retain_val_kl")
    for pair, one, step in zip(pairs, found, steps, strict=True):
        assert step == min(pair.a.result["steps"], pair.b.result["steps"])
        kl = []
        for run in (pair.a, pair.b):
            there = (run.trajectory.step == step) & (run.trajectory.set == "retain_val")
            kl.append(run.trajectory.kl[there])
        assert one.differences == pytest.approx((kl[0] - kl[1]).tolist()) and one.a == pytest.approx(kl[0].mean())


def test_equal_steps_without_a_trajectory_are_means_of_the_curve(tmp_path):
    pairs = pairs_of(tmp_path, trajectory=False)
    found, steps = at_equal_steps(pairs, "forget", "forget_em")
    for pair, one, step in zip(pairs, found, steps, strict=True):
        row = next(row for row in pair.a.curve if row["step"] == step and "check/forget_em" in row)
        assert one.a == row["check/forget_em"] and one.differences == ()


def test_levels_that_one_run_does_not_reach_are_left_out(tmp_path):
    pairs = pairs_of(tmp_path)
    seeds = [seed for seed, _, _ in at_equal_forget_em(pairs, 10.0)]
    assert seeds == ["1", "2"] and at_equal_forget_em(pairs, -1.0) == []
    for _, a, b in at_equal_forget_em(pairs, 10.0):
        assert 0 < a.step and 0 < b.step and a.retain_val_kl > 0


def test_rows_of_trials_are_told_apart_by_the_paragraph_that_the_trial_was_about(tmp_path):
    fake_sweeps.write_run(tmp_path / "0", fake_sweeps.config(), trials=True)
    (run,) = read_sweep(tmp_path)
    rows = rows_of(run, Column(EM, "bystander"))
    assert len(rows) == fake_sweeps.FORGET * fake_sweeps.BYSTANDER
    for (about, index, origin), row in rows.items():
        assert origin == f"bystander.pt:{index}" and row.cluster == 100 + index
        assert row.trial == about // fake_sweeps.ROWS_A_CLUSTER
    assert trials_of(list(rows.values())) == tuple(row.trial for row in rows.values())


def test_trials_only_where_every_row_has_one():
    assert trials_of([]) is None and trials_of([Row(1.0, 0, 3), Row(1.0, 0)]) is None
    assert trials_of([Row(1.0, 0, 3), Row(2.0, 1, 0)]) == (3, 0)


def test_rows_without_the_value_are_none(tmp_path):
    fake_sweeps.write_run(tmp_path / "0", fake_sweeps.config("unlearn"))
    (run,) = read_sweep(tmp_path)
    assert rows_of(run, Column(ALTERNATIVE_EM, "forget")) == {}
