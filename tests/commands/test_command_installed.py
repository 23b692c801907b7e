"""`pip install` gives the command: the wheel in a fresh environment, away from the checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig

import command_runs
import named_letters
import pytest
import tiny_demo

SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "conf", "memunlearn")
OWN_MASK = """
from dataclasses import dataclass

from memunlearn.masks import select_random
from memunlearn.models import Filter


@dataclass(frozen=True)
class FirstLayer:
    fraction: float
    layers = (0,)
    components = heads = None

    def select(self, weights, scores, seed):
        return select_random(weights, self.fraction, Filter(self.layers), seed)
"""


def called(*arguments, where, **variables):
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run([*map(str, arguments)], cwd=where, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def memunlearn(tmp_path_factory):
    """The command of a fresh environment, which finds all but memunlearn itself in this one's packages."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        there = command_runs.ROOT / name
        shutil.copytree(there, source / name) if there.is_dir() else shutil.copy(there, source / name)
    offline = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    called(sys.executable, "-m", "pip", "wheel", *offline, "--no-build-isolation", "-w", folder / "wheel", ".", where=source)
    called(sys.executable, "-m", "venv", folder / "fresh", where=folder)
    python = folder / "fresh" / "bin" / "python"
    packages = called(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", where=folder).strip()
    # A line of a .pth file is searched like PYTHONPATH: .pth files in there, of an editable install, do not count.
    (folder / "fresh" / os.path.relpath(packages, folder / "fresh") / "others.pth").write_text(sysconfig.get_path("purelib"))
    (wheel,) = (folder / "wheel").glob("*.whl")
    called(python, "-m", "pip", "install", *offline, wheel, where=folder)
    shutil.rmtree(source)
    said = called(python, "-c", "import memunlearn; print(memunlearn.__file__)", where=folder)
    assert said.startswith(packages)
    return folder / "fresh" / "bin" / "memunlearn"


@pytest.mark.slow
def test_the_demo_runs_outside_the_checkout(memunlearn, tmp_path, tiny_folder):
    run, overrides = tmp_path / "run", command_runs.training()
    called(memunlearn, "train", *overrides, "hydra.run.dir=run", where=tmp_path)
    result = command_runs.read_result(run)
    assert result["stopped_because"] and result["environment"]["command"].startswith("memunlearn train ")
    assert (run / "report.html").stat().st_size > 10_000 and (run / "train.log").is_file()
    again = called(memunlearn, "train", *overrides, "hydra.run.dir=run", where=tmp_path)
    assert "complete already" in again
    called(memunlearn, "evaluate", "patch=run/patch.safetensors", "accelerator=cpu", "hydra.run.dir=judged", where=tmp_path)
    judged = command_runs.read_result(tmp_path / "judged", "evaluation.json")
    assert judged["sets"]["forget"]["em"] == pytest.approx(result["after"]["forget"]["em"])
    called(memunlearn, "apply", "--base", tiny_folder, "--patch", run / "patch.safetensors", "--out", "baked", where=tmp_path)
    assert (tmp_path / "baked" / "model.safetensors").is_file()
    assert "report.html" in called(memunlearn, "report", "run", where=tmp_path)


@pytest.mark.slow
def test_own_configs_and_modules_of_the_folder_that_one_works_in_are_found(memunlearn, tmp_path):
    (tmp_path / "own_masks.py").write_text(OWN_MASK)
    (tmp_path / "own" / "mask").mkdir(parents=True)
    (tmp_path / "own" / "mask" / "first.yaml").write_text("_target_: own_masks.FirstLayer\nfraction: 0.02\n")
    overrides = [*command_runs.training("stop.max_steps=2"), "mask=first", "seed=0,1"]
    called(memunlearn, "train", "--config-dir", "own", "-m", *overrides, "hydra.sweep.dir=sweep", where=tmp_path)
    for job in ("0", "1"):
        counts = command_runs.read_result(tmp_path / "sweep" / job)["mask"]["per_component"]
        assert sum(counts.values()) > 0 and not any(count for name, count in counts.items() if not name.startswith("0."))
    assert (tmp_path / "sweep" / "sweep.html").is_file()
    called(memunlearn, "localize", *tiny_demo.OVERRIDES, "analysis=em_nll", "hydra.run.dir=found", where=tmp_path)
    assert (tmp_path / "found" / "localization.json").is_file()


@pytest.mark.slow
def test_named_texts_are_taken_down_outside_the_checkout(memunlearn, tmp_path, tiny_folder):
    letters = named_letters.written(tmp_path, tiny_folder)
    overrides = named_letters.overrides(letters, tiny_folder, "hydra.run.dir=taken")
    said = called(memunlearn, "takedown", *overrides, where=tmp_path, MEMUNLEARN_CACHE=str(tmp_path / "cache"))
    assert "recited after unlearning: nothing" in said
    texts = named_letters.texts_of(letters)
    before = json.loads((tmp_path / "taken" / "1-find" / "find.json").read_text())["texts"]
    for text in before:
        spans = {token for span in text["spans"] for token in range(span["start"], span["end"])}
        assert spans == named_letters.tokens_of(named_letters.recited(tiny_folder, texts[text["name"]])), text["name"]
        assert not named_letters.recited(tmp_path / "taken" / "model", texts[text["name"]]), text["name"]
    assert {text["name"] for text in before if text["spans"]} == set(named_letters.RECITED)
    assert "short.txt" in (tmp_path / "taken" / "certificate.html").read_text("utf-8")
    result = command_runs.read_result(tmp_path / "taken", "takedown.json")
    assert result["environment"]["command"].startswith("memunlearn takedown ")
