"""trajectory.parquet: every paragraph at each check of the stop rule."""

from collections import defaultdict

import command_runs
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from memunlearn.results.curve import read_curve

COLUMNS = {
    "step": pyarrow.int64(),
    "set": pyarrow.string(),
    "index": pyarrow.int64(),
    "cluster": pyarrow.int64(),
    "em": pyarrow.int64(),
    "longest_run": pyarrow.int64(),
    "nll": pyarrow.float64(),
    "kl": pyarrow.float64(),
    "longest_common_run": pyarrow.int64(),
}


@pytest.fixture
def by_check(gradient_run):
    table = pyarrow.parquet.read_table(gradient_run / "trajectory.parquet")
    assert {field.name: field.type for field in table.schema} == COLUMNS
    checks = defaultdict(list)
    for row in table.to_pylist():
        checks[row["step"], row["set"]].append(row)
    return checks


def test_its_means_are_the_checks_of_the_curve(gradient_run, by_check):
    curve = {int(row["step"]): row for row in read_curve(gradient_run / "metrics.csv") if "check/forget_em" in row}
    assert {step for step, _ in by_check} == {0, *curve} and len(curve) > 1
    for step, row in curve.items():
        forget, val, bystander = (by_check[step, name] for name in ("forget", "retain_val", "bystander_val"))
        assert row["check/forget_em"] == pytest.approx(np.mean([one["em"] for one in forget]))
        assert row["check/forget_longest_run"] == pytest.approx(np.mean([one["longest_run"] for one in forget]))
        assert row["check/retain_val_kl"] == pytest.approx(np.mean([one["kl"] for one in val]))
        assert ("check/bystander_val_em" in row) == bool(bystander)
        assert all(one["kl"] is None for one in forget + bystander) and all(one["kl"] is not None for one in val)


def test_what_an_edited_model_says_is_in_it_where_it_was_decoded(finished_run, by_check):
    assert {row["longest_common_run"] for rows in by_check.values() for row in rows} == {None}
    folder = finished_run("edit_begun", "objective=edit", "objective.replacements=4", "stop.max_steps=1")
    before = {
        row["index"]: row["longest_common_run_before"] for row in command_runs.read_rows(folder) if row["set"] == "forget"
    }
    rows = pyarrow.parquet.read_table(folder / "trajectory.parquet").to_pylist()
    assert {r["index"]: r["longest_common_run"] for r in rows if (r["step"], r["set"]) == (0, "forget")} == before
    assert {r["longest_common_run"] for r in rows if r["set"] != "forget"} == {None}


def test_its_ends_are_the_table_of_paragraphs(gradient_run, by_check):
    """Step 0 is the base model; the kept step is the model that was reported."""
    kept = command_runs.read_result(gradient_run)["kept_step"]
    table = [row for row in command_runs.read_rows(gradient_run) if row["set"] == "forget"]
    for step, when in ((0, "before"), (kept, "after")):
        rows = by_check[step, "forget"]
        assert [row["index"] for row in rows] == [row["index"] for row in table]
        assert [row["cluster"] for row in rows] == [row["cluster"] for row in table]
        assert [row["em"] for row in rows] == [row[f"em_{when}"] for row in table]
        assert [row["longest_run"] for row in rows] == [row[f"longest_run_{when}"] for row in table]
        assert [row["nll"] for row in rows] == pytest.approx([row[f"nll_{when}"] for row in table], rel=1e-5)
    assert {row["kl"] for row in by_check[0, "retain_val"]} == {0.0}


def test_without_a_stop_rule_there_is_none_not_even_an_old_one(tmp_path):
    (tmp_path / "trajectory.parquet").write_text("of an earlier run")
    ended = command_runs.train("stop=none", "trainer.max_steps=2", directory=tmp_path)
    assert ended.code == 0 and not (tmp_path / "trajectory.parquet").exists(), ended.err


def test_a_run_that_diverged_keeps_its_checks_with_numbers(tmp_path):
    ended = command_runs.train("optimizer.lr=1e30", directory=tmp_path)
    rows = pyarrow.parquet.read_table(tmp_path / "trajectory.parquet").to_pylist()
    assert ended.code == 2 and rows and not any(np.isnan(row["nll"]) for row in rows)
