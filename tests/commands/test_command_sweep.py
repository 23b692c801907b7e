"""A sweep that is run again: finished jobs are skipped, unfinished ones go on from their checkpoint, nothing is destroyed."""

import json
import os
import subprocess
import sys
import types
from collections.abc import Sequence

import command_runs
import interruptions
import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from memunlearn.commands.kept_config import keep_config
from memunlearn.commands.resuming import interrupted_in_sweep
from memunlearn.unlearning.checkpoints import read_checkpoint

SHORT = ("stop.max_steps=2", "mask=random")
SKIPPED = "skipped: this job is complete, in "
GOING_ON = "going on: this job was interrupted, in "
SUMMARY = "memunlearn.reporting.sweep_summary"


def sweep(directory, *overrides):
    return command_runs.train(*SHORT, *overrides, directory=directory, where="sweep")


def written(folder):
    """What would change if the run were repeated."""
    return {name: (folder / name).stat().st_mtime_ns for name in ("result.json", "patch.safetensors", "metrics.csv")}


def figures(folder):
    """Everything in result.json but the times."""
    result = command_runs.read_result(folder)
    del result["seconds"]
    return result


@pytest.fixture
def summaries(monkeypatch):
    """What stood in the sweep's folder each time that its summary was written."""
    seen = []

    def write_summary(directory):
        seen.append(sorted(f"{path.parent.name}/{path.name}" for path in directory.glob("*/*.json")))
        return []

    module = types.ModuleType(SUMMARY)
    module.write_summary = write_summary
    monkeypatch.setitem(sys.modules, SUMMARY, module)
    monkeypatch.setattr("memunlearn.reporting.sweep_summary", module, raising=False)
    return seen


def test_finished_jobs_are_skipped_and_a_changed_list_destroys_nothing(tmp_path, summaries):
    first = sweep(tmp_path, "seed=0,1")
    assert first.code == 0 and SKIPPED not in first.out, first.err
    before = {job: written(tmp_path / job) for job in "01"}
    again = sweep(tmp_path, "seed=2,1,0")
    assert again.code == 0, again.err
    assert {job: written(tmp_path / job) for job in "01"} == before
    said = [line for line in again.out.splitlines() if line.startswith(SKIPPED)]
    assert said == [f"{SKIPPED}{tmp_path / job}" for job in "10"]
    seeds = {folder.name: command_runs.read_result(folder)["seed"] for folder in tmp_path.iterdir() if folder.is_dir()}
    assert seeds == {"0": 0, "1": 1, "2": 2}
    assert summaries == [["0/result.json"], ["0/result.json", "1/result.json"], [f"{job}/result.json" for job in "012"]]


def test_a_failed_job_is_done_again_and_its_error_goes_with_success(tmp_path, monkeypatch, summaries):
    with monkeypatch.context() as patch:
        patch.setenv("INTERRUPT_AFTER", "1")
        failed = sweep(tmp_path, "seed=0,1", interruptions.OVERRIDE)
    assert failed.code == 1 and failed.err.count("Traceback") >= 2
    assert summaries == [["0/error.json"], ["0/error.json", "1/error.json"]]
    again = sweep(tmp_path, "seed=0,1", interruptions.OVERRIDE)
    assert again.code == 0 and SKIPPED not in again.out, again.err
    assert not list(tmp_path.glob("*/error.json")) and len(list(tmp_path.glob("*/result.json"))) == 2
    assert summaries[-1] == ["0/result.json", "1/result.json"]


def test_a_job_that_was_cut_short_goes_on_where_it_was(tmp_path, monkeypatch, summaries):
    jobs = ("seed=0", "stop.max_steps=4", interruptions.OVERRIDE)
    with monkeypatch.context() as patch:
        patch.setenv("INTERRUPT_AFTER", "3")
        assert sweep(tmp_path, *jobs).code == 1
    assert read_checkpoint(tmp_path / "0" / "checkpoints" / "last.ckpt")["global_step"] == 2
    monkeypatch.setenv("INTERRUPT_AFTER", "1")  # a run that goes on does not come there again
    on = sweep(tmp_path, *jobs)
    assert on.code == 0 and on.out.count(GOING_ON) == 1 and not (tmp_path / "0" / "error.json").exists(), on.err


@pytest.mark.parametrize("damage", ["config.yaml", "inputs.json"])
def test_what_a_job_was_begun_with_decides_whether_it_goes_on(tmp_path, damage):
    cfg = OmegaConf.create({"seed": 1, "overwrite": False, "resume": False, "paragraphs": {"path": "a"}})
    kept = tmp_path / "checkpoints"
    inputs = {"paragraphs.path": "0123"}

    def goes_on(cfg=cfg, inputs=inputs, sweep=tmp_path.parent):
        return interrupted_in_sweep(cfg, tmp_path, inputs, sweep)

    kept.mkdir()
    keep_config(cfg, kept / "config.yaml")
    (kept / "inputs.json").write_text(json.dumps(inputs))
    assert not goes_on()  # before its first checkpoint
    (kept / "last.ckpt").touch()
    assert goes_on() and goes_on(OmegaConf.merge(cfg, {"allow": ["a.B"]}))
    assert not goes_on(sweep=None) and not goes_on(inputs={"paragraphs.path": "4567"})
    assert not goes_on(OmegaConf.merge(cfg, {"overwrite": True})) and not goes_on(OmegaConf.merge(cfg, {"seed": 2}))
    for content in ("{", "- 1", ""):
        (kept / damage).write_text(content)
        assert not goes_on()


@pytest.mark.slow
def test_a_job_that_was_resumed_by_itself_is_finished_for_the_sweep(tmp_path, monkeypatch, summaries):
    with monkeypatch.context() as patch:
        patch.setenv("INTERRUPT_AFTER", "1")
        assert sweep(tmp_path, "seed=4", interruptions.OVERRIDE).code == 1
    assert (tmp_path / "0" / "error.json").is_file()
    assert command_runs.run("train", "resume=true", interruptions.ALLOWED, directory=tmp_path / "0").code == 0
    assert not (tmp_path / "0" / "error.json").exists()
    before = written(tmp_path / "0")
    again = sweep(tmp_path, "seed=4", interruptions.OVERRIDE)
    assert again.code == 0 and again.out.count(SKIPPED) == 1 and written(tmp_path / "0") == before


def test_a_summary_that_fails_takes_no_job_with_it(tmp_path, summaries, monkeypatch):
    def fail(directory):
        raise ValueError("no such column")

    monkeypatch.setattr(sys.modules[SUMMARY], "write_summary", fail)
    ended = sweep(tmp_path, "seed=0,1")
    assert ended.code == 0 and len(list(tmp_path.glob("*/result.json"))) == 2
    assert f"warning: the summary of {tmp_path} was not written: ValueError('no such column')" in ended.err


def test_a_run_by_itself_and_a_sweep_of_evaluate_have_no_summary(tmp_path, summaries):
    assert command_runs.train(*SHORT, directory=tmp_path / "run").code == 0
    overrides = (*command_runs.tiny_demo.OVERRIDES, "accelerator=cpu", "seed=0,1")
    ended = command_runs.run("evaluate", *overrides, directory=tmp_path / "sweep", where="sweep")
    assert ended.code == 0 and len(list((tmp_path / "sweep").glob("*/evaluation.json"))) == 2 and summaries == []


def test_a_job_that_diverged_stays_a_failure_and_is_not_repeated(tmp_path, summaries):
    first = sweep(tmp_path, "optimizer.lr=1e30")
    assert first.code == 2 and "NaN" in first.err
    before = written(tmp_path / "0")
    again = sweep(tmp_path, "optimizer.lr=1e30")
    assert again.code == 2 and "NaN" in again.err and written(tmp_path / "0") == before


def test_resume_and_a_folder_for_two_jobs_are_refused_in_a_sweep(tmp_path, summaries):
    ended = sweep(tmp_path / "a", "resume=true")
    assert ended.code == 2 and "leave it out" in ended.err
    ended = sweep(tmp_path / "b", "seed=0,1", "hydra.sweep.subdir=same")
    assert ended.code == 2 and "hydra.sweep.subdir" in ended.err
    assert command_runs.read_result(tmp_path / "b" / "same")["seed"] == 0


@pytest.mark.slow
def test_the_comparison_is_a_sweep_without_m(tmp_path, summaries):
    jobs: Sequence[str]

    def task(cfg):
        from hydra.core.hydra_config import HydraConfig

        assert HydraConfig.get().mode == RunMode.MULTIRUN
        mask = cfg.mask._target_.rpartition(".")[2]
        mask += " matched" * bool(cfg.mask.get("match"))
        jobs.append((cfg.objective._target_.rpartition(".")[2], mask, cfg.paragraphs.forget_text, cfg.seeds.split))

    jobs = []
    overrides = ("experiment=comparison", "hydra.sweep.dir=" + str(tmp_path / "all"))
    ended = command_runs.run_task(task, "train", *overrides, directory=tmp_path / "unused")
    assert ended.code == 0, ended.err
    expected = [
        (objective, mask, text, seed)
        for objective in ("Unlearn", "Edit")
        for mask in ("AllWeights", "TopAttribution", "RandomWeights", "RandomWeights matched")
        for text in ("memorized", "own")
        for seed in (0, 1, 2)
    ]
    assert jobs == expected and len(jobs) == 48
    jobs = []
    command_runs.run_task(task, "train", *overrides, "seed=7", "paragraphs.forget_text=own", directory=tmp_path / "unused")
    assert [job[2:] for job in jobs] == [("own", 7)] * 8


@pytest.mark.slow
def test_killed_in_the_middle_of_a_job_and_run_again_is_an_undisturbed_sweep(tmp_path):
    """Real processes and SIGKILL: after the third step of the third of four jobs."""
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    jobs = ("objective=unlearn,unlearn_unbounded", "seed=0,1", "stop.max_steps=4", "mask=gradient", interruptions.OVERRIDE)

    def process(directory, **variables):
        arguments = ["train.py", "-m", *command_runs.training(*jobs), f"hydra.sweep.dir={directory}"]
        path = os.pathsep.join([str(command_runs.ROOT / "tests" / "commands"), os.environ.get("PYTHONPATH", "")])
        return command_runs.real(*arguments, PYTHONPATH=path, **variables)

    killed = process(broken, INTERRUPT_AFTER="3", INTERRUPT_BY="kill", INTERRUPT_FOLDER="2")
    assert killed.code == -subprocess.signal.SIGKILL, killed.err
    assert sorted(path.parent.name for path in broken.glob("*/result.json")) == ["0", "1"]
    assert (broken / "2" / "checkpoints" / "last.ckpt").is_file()
    before = {job: written(broken / job) for job in "01"}
    again, undisturbed = process(broken), command_runs.train(*jobs, directory=whole, where="sweep")
    assert again.code == 0 and undisturbed.code == 0, again.err + undisturbed.err
    assert again.out.count(SKIPPED) == 2 and again.out.count(f"{GOING_ON}{broken / '2'}") == again.out.count(GOING_ON) == 1
    assert {job: written(broken / job) for job in "01"} == before
    for job in "0123":
        assert figures(broken / job) == figures(whole / job)
        assert command_runs.read_rows(broken / job) == command_runs.read_rows(whole / job)
        assert (broken / job / "metrics.csv").read_bytes() == (whole / job / "metrics.csv").read_bytes()
    assert not list(broken.rglob(".tmp-*"))
