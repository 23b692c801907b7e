"""Fixtures of the commands' tests: the tiny demo, and finished runs that several tests look at."""

import command_runs
import pytest
import tiny_demo
from measurement_requests import asked, store  # noqa: F401  pytest finds fixtures by their import
from tiny_demo import once, shared_folder, tiny_cache, tiny_folder  # noqa: F401  pytest finds fixtures by their import

from memunlearn.charts import files

render = files.rendered


@pytest.fixture(scope="module", autouse=True)
def _cache(tiny_folder):  # noqa: F811
    """Every command of these tests finds the tiny demo in its cache, those of fixtures of a module too."""
    with tiny_demo.environment(MEMUNLEARN_CACHE=str(tiny_folder.parent)):
        yield


@pytest.fixture(autouse=True)
def _no_drawing(monkeypatch):
    """Drawing a report's figures takes a third of a tiny run; only the run of `gradient_run` draws."""
    monkeypatch.setattr(files, "rendered", lambda spec: (b"", b""))


@pytest.fixture
def drawing(_no_drawing, monkeypatch):
    """Figures are drawn after all."""
    monkeypatch.setattr(files, "rendered", render)


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
