import json

import fake_sweeps
import pytest

from memunlearn.errors import UserError
from memunlearn.sweeps.runs import read_sweep


def test_runs_are_found_one_and_two_folders_deep_in_order(tmp_path):
    for folder in ("10", "2", "machine_b/0", "machine_a/1"):
        fake_sweeps.write_run(tmp_path / folder, fake_sweeps.config())
    fake_sweeps.write_failure(tmp_path / "3")
    (tmp_path / "4" / ".hydra").mkdir(parents=True)
    (tmp_path / "figures").mkdir()
    runs = read_sweep(tmp_path)
    assert [(run.folder, run.state) for run in runs] == [
        ("2", "finished"),
        ("3", "failed"),
        ("4", "unfinished"),
        ("10", "finished"),
        ("machine_a/1", "finished"),
        ("machine_b/0", "finished"),
    ]
    assert runs[1].error == "mask.layers=[99]: the model has layers 0 to 3"
    assert runs[1].overrides == ("mask=all", "mask.layers=[99]")
    assert runs[0].notes == [fake_sweeps.NOTE]


def test_what_is_left_of_a_damaged_run_is_read_and_the_rest_is_said(tmp_path):
    fake_sweeps.write_run(tmp_path / "0", fake_sweeps.config())
    (tmp_path / "0" / "paragraphs.parquet").write_bytes(b"PAR1 half")
    (tmp_path / "0" / "trajectory.parquet").unlink()
    (tmp_path / "0" / "metrics.csv").write_text("step,check/forget_em\n1,what\n")
    (run,) = read_sweep(tmp_path)
    assert run.state == "finished" and run.paragraphs == () and run.curve == () and run.trajectory is None
    assert any("metrics.csv" in problem for problem in run.problems)
    assert any("paragraphs.parquet" in problem for problem in run.problems)


@pytest.mark.parametrize("content", ["", '{"schema": 1, "before"', "[]", '{"schema": 1}'])
def test_a_result_cut_short_is_unfinished(tmp_path, content):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "result.json").write_text(content)
    (run,) = read_sweep(tmp_path)
    assert run.state == "unfinished" and run.problems


def test_a_trajectory_of_another_shape_is_not_used(tmp_path):
    fake_sweeps.write_run(tmp_path / "0", fake_sweeps.config())
    fake_sweeps.write_parquet(tmp_path / "0" / "trajectory.parquet", {"step": [0], "set": ["forget"]})
    (run,) = read_sweep(tmp_path)
    assert run.trajectory is None and "no column cluster, em, index, kl" in run.problems[0]


def test_kl_that_was_not_measured_is_not_a_number(tmp_path):
    fake_sweeps.write_run(tmp_path / "0", fake_sweeps.config())
    (run,) = read_sweep(tmp_path)
    measured = run.trajectory.set == "retain_val"
    assert (run.trajectory.kl[measured] >= 0).all() and (run.trajectory.kl[~measured] != run.trajectory.kl[~measured]).all()


def test_folders_that_are_no_sweep_are_refused(tmp_path):
    fake_sweeps.write_run(tmp_path / "run", fake_sweeps.config())
    (tmp_path / "empty" / "nothing").mkdir(parents=True)
    for folder, why in (("none", "not a folder"), ("run", "single run"), ("empty", "no runs below it")):
        with pytest.raises(UserError, match=why):
            read_sweep(tmp_path / folder)


def test_an_error_is_one_line(tmp_path):
    fake_sweeps.write_failure(tmp_path / "0", error="first\n  second", config=fake_sweeps.config(seed=4))
    (run,) = read_sweep(tmp_path)
    assert run.error == "first second" and run.config["seed"] == 4
    (tmp_path / "0" / "error.json").write_text(json.dumps({"schema": 1}))
    assert read_sweep(tmp_path)[0].error == "no reason was recorded"
