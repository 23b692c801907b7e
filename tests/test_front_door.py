"""`import memunlearn as mu`: at once, and typed."""

import re
import subprocess
import sys

import pytest

import memunlearn as mu

GOOD = """
from pathlib import Path

import memunlearn as mu
from memunlearn import Demo, score

base = mu.DemoModelSource(Demo()).load()
corpus = mu.DemoSource(mu.Demo()).load().corpus
assert corpus is not None
mean: float = float(score(base.model, corpus).em.double().mean())
folder: Path = mu.train(mu.compose("train", "mask=random"), "outputs/run").directory
version: str = mu.__version__
"""
BAD = {
    "mu.nonsense": 'Module has no attribute "nonsense"',
    "mu.score(3)": "score",
    "mu.Caps(forgotten=3)": 'Unexpected keyword argument "forgotten"',
    "text: str = mu.split_by_em": "Incompatible types in assignment",
}


@pytest.mark.slow
def test_mypy_knows_what_there_is_and_refuses_the_rest(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("\n".join([*GOOD.strip().splitlines(), *BAD]))
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--ignore-missing-imports", str(script)]
    said = subprocess.run(command, capture_output=True, text=True).stdout
    first = len(GOOD.strip().splitlines()) + 1
    found: dict[int, list[str]] = {}
    for line in said.splitlines():
        if (place := re.search(r"script\.py:(\d+): error: (.*)", line)) is not None:
            found.setdefault(int(place[1]), []).append(place[2])
    assert found.keys() == set(range(first, first + len(BAD))), said
    for number, error in enumerate(BAD.values(), start=first):
        assert any(error in one for one in found[number]), said


def test_importing_costs_nothing():
    code = "import sys, memunlearn as mu; print('torch' in sys.modules, 'numpy' in sys.modules, len(dir(mu)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[:2] == ["False", "False"] and int(done.stdout.split()[2]) > 50


def test_what_is_not_there_is_refused_by_name():
    with pytest.raises(AttributeError, match="module 'memunlearn' has no attribute 'nonsense'"):
        mu.nonsense  # noqa: B018
    assert {"score", "train", "compose", "UserError"} <= set(dir(mu)) == set(mu.__all__)
