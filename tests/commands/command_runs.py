"""Running the commands as a user does: inside this process where possible, since importing torch takes seconds."""

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet
import tiny_demo
from hydra.core.global_hydra import GlobalHydra

from memunlearn.commands.apps import task_of
from memunlearn.commands.call import SCRIPTS
from memunlearn.commands.hydra_app import run_app

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
# Quick, and not moved by what the defaults are tuned to.
TRAINING = (
    "objective=unlearn",
    "objective.forget_weight=0.1",
    "objective.retain_weight=1",
    "optimizer=adam",
    "optimizer.lr=0.003",
    "optimizer.eps=1e-8",
    "mask=gradient",
    "mask.fraction=0.05",
    "stop.every=2",
    "stop.max_steps=6",
    "stop.forget_em=0.5",
    "stop.max_kl=5",
    "batch_size=4",
    "trainer.accelerator=cpu",
)


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str
    directory: Path

    @property
    def result(self):
        return read_result(self.directory)

    @property
    def error_lines(self):
        return [line for line in self.err.splitlines() if line.startswith("error: ")]

    def the_error(self) -> str:
        """The line of a mistake that the user can mend; nothing else may have gone wrong."""
        assert self.code == 2, (self.code, self.err)
        assert "Traceback" not in self.err + self.out, self.err
        assert len(self.error_lines) == 1, self.err
        others = [line for line in self.err.splitlines() if line not in self.error_lines]
        assert all(line.startswith("Error executing job with overrides") for line in others if line), self.err
        return self.error_lines[0]


def read_result(directory, name="result.json"):
    return json.loads((Path(directory) / name).read_text())


def read_rows(directory):
    """paragraphs.parquet as a list of dicts."""
    return pyarrow.parquet.read_table(Path(directory) / "paragraphs.parquet").to_pylist()


def run(script, *overrides, directory, where="run"):
    """`python SCRIPT.py OVERRIDES hydra.run.dir=DIRECTORY` in this process; where="sweep" for a multirun."""
    return run_task(_task(script), script, *overrides, directory=directory, where=where)


def train(*overrides, directory, where="run"):
    """train.py on the tiny demo, a few steps."""
    return run("train", *training(*overrides), directory=directory, where=where)


def training(*overrides):
    """These overrides after TRAINING, without its settings for a group that they choose anew."""
    groups = {name for name in (override.partition("=")[0] for override in overrides) if "." not in name}
    if groups & {"protocol", "experiment"}:
        groups |= {"stop"}  # neither takes a stop rule
    if "experiment" in groups:
        groups |= {"objective", "optimizer"}
    # Every mask takes a fraction.
    kept = [one for one in TRAINING if one.partition("=")[0].partition(".")[0] not in groups - {"mask"}]
    if groups & {"mask", "experiment"}:
        kept.remove("mask=gradient")
    return [*tiny_demo.OVERRIDES, *kept, *overrides]


def evaluate(*overrides, directory):
    """evaluate.py on the tiny demo."""
    return run("evaluate", *tiny_demo.OVERRIDES, "accelerator=cpu", *overrides, directory=directory)


def run_task(task, config_name, *overrides, directory, where="run"):
    """Any task through the commands' own wrapper."""
    out, err, arguments, code = io.StringIO(), io.StringIO(), sys.argv, 0
    flags = ["-m"] if where == "sweep" else []
    sys.argv = [f"{config_name}.py", *flags, *overrides, f"hydra.{where}.dir={directory}"]
    GlobalHydra.instance().clear()
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            tiny_demo.environment(),
            _logging_kept(),
            warnings.catch_warnings(),
        ):
            run_app(task, config_name, CONF)
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.argv = arguments
        GlobalHydra.instance().clear()
    return Finished(code, out.getvalue(), err.getvalue(), Path(directory))


def real(*arguments, directory=None, **variables):
    """`python ARGUMENTS` as a process of its own, in the repository's root."""
    done = subprocess.run(command(*arguments), env=process_environment(**variables), cwd=ROOT, capture_output=True, text=True)
    return Finished(done.returncode, done.stdout, done.stderr, Path(directory or "."))


def command(*arguments):
    return [sys.executable, *map(str, arguments)]


def process_environment(**variables):
    return {**os.environ, "OMP_NUM_THREADS": "1", **variables}


def _task(script):
    return task_of(script, SCRIPTS)


@contextlib.contextmanager
def _logging_kept():
    """Hydra gives the root logger handlers for the streams of this moment and for a file."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
