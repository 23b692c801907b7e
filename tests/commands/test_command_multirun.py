"""Sweeps: every job has a folder of its own, and one that fails does not take the others with it."""

import command_runs
import pytest
import yaml


def test_two_jobs_leave_two_runs(tmp_path):
    ended = command_runs.train("seed=0,1", directory=tmp_path, where="sweep")
    assert ended.code == 0, ended.err
    assert [command_runs.read_result(tmp_path / job)["seed"] for job in ("0", "1")] == [0, 1]
    origins = [
        {row["origin"] for row in command_runs.read_rows(tmp_path / job) if row["set"] == "forget"} for job in ("0", "1")
    ]
    assert origins[0] != origins[1]


def test_a_job_in_a_sweep_is_the_run_by_itself(tmp_path, gradient_run):
    """Nothing of the first job (its deltas, its random numbers) reaches the second."""
    ended = command_runs.train("mask=random,gradient", "save_model=true", directory=tmp_path, where="sweep")
    assert ended.code == 0, ended.err
    swept, alone = command_runs.read_result(tmp_path / "1"), command_runs.read_result(gradient_run)
    for result in (swept, alone):
        del result["seconds"], result["environment"]
    assert swept == alone


def test_masks_can_be_swept_with_a_fraction(tmp_path):
    """mask=all has no use for a fraction, but must not end the sweep."""
    ended = command_runs.train("mask=all,random", "mask.fraction=0.02", directory=tmp_path, where="sweep")
    assert ended.code == 0, ended.err
    masks = [command_runs.read_result(tmp_path / job)["mask"] for job in ("0", "1")]
    assert masks[0]["k"] == masks[0]["eligible"] and masks[1]["k"] == round(0.02 * masks[1]["eligible"])


def test_one_job_fails_and_the_others_finish(tmp_path):
    ended = command_runs.train("mask.layers=[9],[0]", "seed=3", directory=tmp_path, where="sweep")
    assert ended.code == 2 and len(ended.error_lines) == 1 and "layers: 9" in ended.error_lines[0]
    assert not (tmp_path / "0" / "result.json").exists()
    result = command_runs.read_result(tmp_path / "1")
    assert result["config"]["mask"]["layers"] == [0] and result["stopped_because"] in ("max_steps", "forget_em", "max_kl")
    kept = yaml.safe_load((tmp_path / "1" / ".hydra" / "config.yaml").read_text())
    assert kept["mask"]["layers"] == [0]


def test_every_failed_job_says_why_and_the_first_ends_the_sweep(tmp_path):
    ended = command_runs.train("mask.layers=[9],[0],[8]", "stop.max_steps=1", directory=tmp_path, where="sweep")
    lines = ended.err.splitlines()
    assert [line for line in lines if line.startswith("job ")] == [
        f"job {job} failed: layers: {layer} does not exist in this model: choose from 0, 1" for job, layer in ((0, 9), (2, 8))
    ]
    assert ended.code == 2 and ended.error_lines == [lines[-1]] and "layers: 9" in lines[-1]
    assert (tmp_path / "1" / "result.json").is_file() and "Traceback" not in ended.err


def test_a_fault_of_ours_in_a_job_is_told_too(tmp_path):
    def task(cfg):
        if cfg.seed != 2:
            raise KeyError(f"of job {cfg.seed}")

    with pytest.raises(KeyError, match="of job 1"):
        command_runs.run_task(task, "train", "seed=1,2,3", directory=tmp_path, where="sweep")
    assert (tmp_path / "2" / ".hydra").is_dir()
