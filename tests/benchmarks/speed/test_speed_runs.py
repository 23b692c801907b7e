"""Commands as processes."""

import json

import pytest

from benchmarks.speed import runs
from benchmarks.speed.sizes import SIZES, Lengths
from benchmarks.speed.workload import OURS, Given

GIVEN = Given(size=SIZES["tiny"], lengths=Lengths(7, 9), rows=3, rounds=1, device="cpu")


def test_a_process_that_fails_says_what_it_said():
    runs.process(["-c", "pass"])
    with pytest.raises(RuntimeError, match=r"(?s)exit code 3.*no more of it"):
        runs.process(["-c", "import sys; print('no more of it'); sys.exit(3)"])


def test_imports_and_help_are_processes_of_their_own(monkeypatch):
    started = []
    monkeypatch.setattr(runs, "process", started.append)
    found = runs.processes(GIVEN)
    assert [one.name for one in found] == ["import", "help"]
    assert started[:3] == [["-c", "import memunlearn"], ["-c", "pass"], ["-c", "import torch, transformers, lightning"]]
    assert ["train.py", "--help"] in started


def test_a_sweeps_seconds_are_those_of_a_job(monkeypatch):
    started = []

    def process(arguments):
        started.append(arguments)
        if "benchmarks.speed.spans" in arguments:
            with open(arguments[2], "w") as file:
                json.dump({"imports": 1.5, "training": 2.5}, file)

    clock = iter([0, 120, 120, 150])  # a sweep, then one by itself
    monkeypatch.setattr(runs, "process", process)
    real = runs.in_turns
    monkeypatch.setattr(runs, "in_turns", lambda ways, rounds, **settings: real(ways, rounds, lambda: next(clock), **settings))
    run, sweep = runs.run_and_sweep(GIVEN)
    assert run.seconds == {"imports": [1.5], "training": [2.5]}
    assert sweep.seconds == {OURS: [10.0], "a process for each": [30]}
    jobs = [argument for argument in started[2] if argument in runs.SWEEP]
    masks, seeds = (part.partition("=")[2].split(",") for part in jobs[:2])
    assert len(masks) * len(seeds) == runs.JOBS


@pytest.mark.slow
def test_a_small_run_is_watched_and_its_sweep_is_faster_a_job_than_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMUNLEARN_CACHE", str(tmp_path / "cache"))
    run, sweep = runs.run_and_sweep(GIVEN)
    assert {"imports", "preparation", "training", "checks", "files and pages"} <= run.seconds.keys()
    assert sweep.seconds[OURS][0] < sweep.seconds["a process for each"][0]
