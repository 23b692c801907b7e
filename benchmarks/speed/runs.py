"""Whole commands as processes: a run and where its time goes, a sweep of twelve jobs, imports and --help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.rounds import Way, in_turns
from benchmarks.speed.workload import OURS, Given, Workload

ROOT = Path(__file__).parents[2]
SMALL = (
    "paragraphs.prefix_length=10",
    "paragraphs.continuation_length=10",
    "demo.memorized=8",
    "demo.background=400",
    "demo.seen=12",
    "demo.unseen=40",
    "demo.vocabulary=512",
    "demo.layers=2",
    "demo.width=48",
    "demo.steps=200",
    "demo.memorized_batch=8",
    "demo.background_batch=4",
    "stop.max_steps=20",
)
"""A demo that is made in seconds: what is left of its runs is mostly what every run has to do, however small."""
SWEEP = ("mask=all,random,gradient", "seed=0,1,2,3", "mask.fraction=0.1")
JOBS = 12


def process(arguments: Sequence[str]) -> None:
    """Runs Python with these arguments in the repository's folder. Raises RuntimeError, with what it said, where it fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "offline"}
    ended = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"python {' '.join(arguments)}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}")


def processes(given: Given) -> list[Workload]:
    """`import memunlearn` and `train.py --help`, from the start of Python to its end."""
    imports: dict[str, Way] = {
        OURS: lambda: process(["-c", "import memunlearn"]),
        "Python alone": lambda: process(["-c", "pass"]),
        "import torch, transformers, lightning": lambda: process(["-c", "import torch, transformers, lightning"]),
    }
    helps: dict[str, Way] = {
        OURS: lambda: process(["train.py", "--help"]),
        "import hydra": lambda: process(["-c", "import hydra"]),
    }
    return [
        _of(in_turns(imports, given.rounds), "import", "`import memunlearn`", ""),
        _of(in_turns(helps, given.rounds), "help", "`python train.py --help`", ""),
    ]


def run_and_sweep(given: Given, settings: Sequence[str] = SMALL) -> list[Workload]:
    """A run, once, with where its time goes; then a sweep of twelve jobs beside one process a job, seconds a job."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        process(["train.py", f"hydra.run.dir={place}/first", *settings])  # makes the demo's model where there is none
        spans, new = place / "spans.json", f"hydra.run.dir={place}/run"
        process(["-m", "benchmarks.speed.spans", str(spans), new, "cache=false", *settings])
        parts: Mapping[str, float] = json.loads(spans.read_text("utf-8"))
        tried = [0]

        def sweep() -> None:
            tried[0] += 1
            process(["train.py", "-m", *SWEEP, *settings, f"hydra.sweep.dir={place}/sweep{tried[0]}"])

        def single() -> None:
            tried[0] += 1
            process(["train.py", "mask=random", "mask.fraction=0.1", *settings, f"hydra.run.dir={place}/single{tried[0]}"])

        # Nothing is warmed up in a process that is new each time.
        seconds = in_turns({OURS: sweep, "a process for each": single}, max(1, given.rounds // 3), uncounted=0)
        seconds[OURS] = [whole / JOBS for whole in seconds[OURS]]
    return [
        Workload(
            name="run",
            title="Where a small run's time goes",
            rows=0,
            tokens=0,
            seconds={part: [took] for part, took in parts.items()},
            parts=True,
            said="Once, with `cache=false`: a demo of 2 layers x 48 with 8 memorized rows, all weights, K-FAC.",
        ),
        Workload(
            name="sweep",
            title="A job of a sweep of 12",
            rows=0,
            tokens=0,
            seconds=seconds,
            said="Of the same small demo: start-up is paid once, and what is measured on the base model is kept.",
        ),
    ]


def _of(seconds: Mapping[str, list[float]], name: str, title: str, said: str) -> Workload:
    return Workload(name=name, title=title, rows=0, tokens=0, seconds=seconds, said=said)
