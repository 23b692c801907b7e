"""A demo that is built in seconds, and the fixtures that let all workers of a test session share it."""

import contextlib
import os
from pathlib import Path

import pytest
from filelock import FileLock

P, C = 10, 10
SIZES = {
    "memorized": 8,
    "background": 400,
    "seen": 12,
    "unseen": 40,
    "vocabulary": 512,
    "layers": 2,
    "width": 48,
    "heads": 4,
    "steps": 200,
    "memorized_batch": 8,
    "background_batch": 4,
    "seed": 0,
}
OVERRIDES = (
    f"paragraphs.prefix_length={P}",
    f"paragraphs.continuation_length={C}",
    *(f"demo.{name}={value}" for name, value in SIZES.items()),
)


def tiny_demo():
    """The same demo from Python."""
    from memunlearn.demo.model import Demo

    return Demo(**SIZES, prefix_length=P, continuation_length=C)


@contextlib.contextmanager
def environment(**variables):
    """os.environ with these variables, and as it was afterwards, whatever was done to it."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """One folder for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def tiny_folder(shared_folder) -> Path:
    """The tiny demo's checkpoint, with its tokenizer; built once, in a cache of the session's own."""
    import torch

    from memunlearn.demo.model import demo_directory

    torch.set_num_threads(1)  # tensors this small are slower with more, and other workers want the cores
    cache = shared_folder / "cache"
    with environment(MEMUNLEARN_CACHE=str(cache)):
        return demo_directory(tiny_demo())


@pytest.fixture
def tiny_cache(tiny_folder, monkeypatch) -> Path:
    """MEMUNLEARN_CACHE while a test runs: the tiny demo is in it."""
    monkeypatch.setenv("MEMUNLEARN_CACHE", str(tiny_folder.parent))
    return tiny_folder.parent


@pytest.fixture(scope="session")
def once(shared_folder):
    """once(name, make): the folder `name` that `make(folder)` fills; made by one worker, used by all."""

    def once(name, make):
        folder = shared_folder / "once" / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        done = folder.with_name(f"{name}.done")
        with FileLock(f"{folder}.lock"):
            if not done.is_file():
                make(folder)
                done.touch()
        return folder

    return once
