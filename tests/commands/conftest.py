"""Fixtures of the commands' tests: the tiny demo, and finished runs that several tests look at."""

import command_runs
import pytest
from tiny_demo import once, shared_folder, tiny_cache, tiny_folder  # noqa: F401  pytest finds fixtures by their import

from memunlearn.charts import matplotlib_files
from memunlearn.results import figures

DRAWING = (figures, matplotlib_files)
draw = figures.file_bytes


@pytest.fixture(autouse=True)
def _cache(tiny_cache):  # noqa: F811
    """Every command of these tests finds the tiny demo in its cache."""


@pytest.fixture(autouse=True)
def _no_drawing(monkeypatch):
    """Drawing a report's figures takes a third of a tiny run; only the run of `gradient_run` draws."""
    for module in DRAWING:
        monkeypatch.setattr(module, "file_bytes", lambda *arguments: b"")


@pytest.fixture
def drawing(_no_drawing, monkeypatch):
    """Figures are drawn after all."""
    for module in DRAWING:
        monkeypatch.setattr(module, "file_bytes", draw)


@pytest.fixture
def finished_run(once, tiny_cache):  # noqa: F811
    """finished_run(name, *overrides): the folder of a complete training run, made once in the session."""

    def finished_run(name, *overrides):
        def make(folder):
            ended = command_runs.train(*overrides, directory=folder)
            assert ended.code == 0, ended.err
            (folder.with_name(f"{name}.terminal.txt")).write_text(ended.out)

        return once(name, make)

    return finished_run


@pytest.fixture
def gradient_run(finished_run, drawing):
    """Unlearning with a gradient mask; the unlearned model saved."""
    return finished_run("gradient", "save_model=true")
