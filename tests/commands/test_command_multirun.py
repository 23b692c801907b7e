"""Sweeps: every job has a folder of its own, and one that fails does not take the others with it."""

import command_runs
import pytest
import yaml

from memunlearn.errors import UserError


def test_two_jobs_leave_two_runs(tmp_path):
    ended = command_runs.train("seed=0,1", directory=tmp_path, where="sweep")
    assert ended.code == 0, ended.err
    assert [command_runs.read_result(tmp_path / job)["seed"] for job in ("0", "1")] == [0, 1]
    origins = [
        {row["origin"] for row in command_runs.read_rows(tmp_path / job) if row["set"] == "forget"} for job in ("0", "1")
    ]
    assert origins[0] != origins[1]


@pytest.mark.slow
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
    assert ended.code == 2 and len(ended.error_lines) == 1 and "1 job failed" in ended.error_lines[0]
    assert not (tmp_path / "0" / "result.json").exists()
    result = command_runs.read_result(tmp_path / "1")
    assert result["config"]["mask"]["layers"] == [0] and result["stopped_because"] in ("max_steps", "forget_em", "max_kl")
    kept = yaml.safe_load((tmp_path / "1" / ".hydra" / "config.yaml").read_text())
    assert kept["mask"]["layers"] == [0]


def test_every_failed_job_says_why_at_once_and_again_at_the_end(tmp_path):
    ended = command_runs.train("mask.layers=[9],[0],[8]", "stop.max_steps=1", directory=tmp_path, where="sweep")
    lines = ended.err.splitlines()
    why = {job: f"mask.layers: {layer} does not exist in this model: choose from 0, 1" for job, layer in ((0, 9), (2, 8))}
    assert [line for line in lines if line.startswith("job ")] == [f"job {job} failed: {said}" for job, said in why.items()]
    assert lines[-4:-1] == [
        "2 jobs of the sweep failed:",
        f"  0 (mask.layers=[9]): {why[0]}",
        f"  2 (mask.layers=[8]): {why[2]}",
    ]
    assert ended.code == 2 and ended.error_lines == [lines[-1]] and f"hydra.sweep.dir={tmp_path}" in lines[-1]
    assert (tmp_path / "1" / "result.json").is_file() and "Traceback" not in ended.err
    for job, layer in ((0, 9), (2, 8)):
        said = command_runs.read_result(tmp_path / str(job), "error.json")
        assert (said["schema"], said["error"], said["type"], said["mistake"]) == (1, why[job], "UserError", True)
        assert said["config"]["mask"]["layers"] == [layer] and said["config"]["objective"]["retain_weight"] == 1
        assert f"mask.layers=[{layer}]" in said["overrides"]
    assert not (tmp_path / "1" / "error.json").exists()


def test_a_fault_of_ours_in_a_job_is_told_too(tmp_path):
    def task(cfg):
        if cfg.seed != 2:
            raise KeyError(f"of job {cfg.seed}")

    ended = command_runs.run_task(task, "train", "seed=1,2,3", directory=tmp_path, where="sweep")
    assert ended.code == 1 and ended.err.count("Traceback") == 2 and "2 jobs failed" in ended.error_lines[-1]
    for job, seed in ((0, 1), (2, 3)):
        said = command_runs.read_result(tmp_path / str(job), "error.json")
        assert (said["error"], said["type"], said["mistake"]) == (f"KeyError('of job {seed}')", "KeyError", False)
        assert "in task" in said["traceback"] and said["config"]["seed"] == seed
    assert (tmp_path / "1" / ".hydra").is_dir() and not (tmp_path / "1" / "error.json").exists()


def test_one_mistake_among_faults_of_ours_makes_it_2(tmp_path):
    def task(cfg):
        raise UserError("mend this") if cfg.seed == 2 else KeyError("ours")

    ended = command_runs.run_task(task, "train", "seed=1,2", directory=tmp_path, where="sweep")
    assert ended.code == 2 and "  1 (seed=2): mend this" in ended.err


def test_a_config_that_cannot_be_resolved_fails_alone(tmp_path):
    ended = command_runs.train("optimizer.lr=${nowhere},0.003", "stop.max_steps=1", directory=tmp_path, where="sweep")
    assert ended.code == 2 and "nowhere" in command_runs.read_result(tmp_path / "0", "error.json")["error"]
    assert command_runs.read_result(tmp_path / "0", "error.json")["config"] is None
    assert "1 job of the sweep failed:" in ended.err.splitlines()
    assert (tmp_path / "1" / "result.json").is_file()


def test_a_failure_of_an_earlier_call_is_not_one_of_this(tmp_path):
    broken = command_runs.train("mask.layers=[9]", "seed=0", directory=tmp_path, where="sweep")
    assert broken.code == 2
    ended = command_runs.train("mask.layers=[0]", "stop.max_steps=1", directory=tmp_path, where="sweep")
    assert ended.code == 0, ended.err
    assert (tmp_path / "0" / "error.json").is_file() and (tmp_path / "1" / "result.json").is_file()
