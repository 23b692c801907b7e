"""Paths and names as people have them, from the command line to the result; what is wrong is said before a model is loaded."""

from __future__ import annotations

import json
import shutil

import command_runs
import pytest
import torch
from safetensors.torch import load_file

from memunlearn.demo import model as demo_model

NUMBERS = ("model=local model.name_or_path=1", "model=local model.tokenizer=1", "patch=1", "reference=1")


@pytest.fixture
def checkpoint(tiny_folder, tmp_path):
    """A function: the tiny demo's checkpoint in a folder of this name."""

    def checkpoint(name):
        return shutil.copytree(tiny_folder, tmp_path / name)

    return checkpoint


@pytest.fixture
def corpus(tiny_folder, tmp_path):
    rows = load_file(tiny_folder / "corpus.safetensors")
    torch.save(torch.cat([rows["memorized"], rows["unseen"]]), tmp_path / "corpus.pt")
    return ["paragraphs=files", f"paragraphs.path={tmp_path}/corpus.pt"]


def test_a_checkpoint_in_a_folder_with_odd_signs(checkpoint, corpus, tmp_path):
    folder = checkpoint("zürich, step=102 (1) #[x]")
    done = command_runs.evaluate("model=local", f"model.name_or_path={folder}", *corpus, directory=f"{tmp_path}/run=1 ü")
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "run=1 ü" / "evaluation.json").read_text())
    assert result["config"]["model"]["name_or_path"] == str(folder)


def test_a_checkpoint_and_a_file_named_by_numbers(checkpoint, corpus, tmp_path, monkeypatch):
    checkpoint("1000")
    shutil.copy(tmp_path / "corpus.pt", tmp_path / "7.pt")
    monkeypatch.chdir(tmp_path)
    done = command_runs.evaluate(
        "model=local", "model.name_or_path=1000", "paragraphs=files", "paragraphs.path=7.pt", directory=tmp_path / "run"
    )
    assert done.code == 0, done.err
    monkeypatch.setenv("HOME", str(tmp_path))
    again = command_runs.evaluate(
        "model=local", "model.name_or_path=~/1000", "paragraphs=files", "paragraphs.path=~/7.pt", directory=tmp_path / "home"
    )
    assert again.code == 0, again.err


@pytest.mark.parametrize("overrides", NUMBERS)
def test_a_number_that_names_nothing_is_one_line(overrides, tiny_folder, tiny_cache, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    more = [f"model.name_or_path={tiny_folder}"] if "tokenizer" in overrides else []
    assert "1" in command_runs.evaluate(*overrides.split(), *more, directory=tmp_path / "run").the_error()


def test_what_needs_no_model_is_checked_before_one_is_loaded(tiny_cache, tmp_path, monkeypatch):
    def load(self):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(demo_model.DemoModelSource, "load", load)
    monkeypatch.setattr("memunlearn.models.loading.load_model", load)
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    torch.save(torch.zeros(2, 20), tmp_path / "a.pt")
    local = ["model=local", f"model.name_or_path={tmp_path / 'model'}"]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    wrong = {
        "no such file": ["paragraphs=files", "paragraphs.path=none.pt"],
        "no column 'z'": [f"paragraphs.path={tmp_path}/a.csv", "paragraphs.column=z"],
        "paragraphs=pile has 50 + 50 tokens": ["paragraphs=pile"],
        "use one of q, k, v": [*local, "model.patterns={'a.{layer}': query}"],
        "model.patterns=q is no table": [*local, "model.patterns=q"],
        "no tokenizer in": [*local, f"model.tokenizer={tmp_path}"],
        "there is no folder": ["model=local", "model.name_or_path=/none"],
    }
    for said, overrides in wrong.items():
        line = command_runs.evaluate(*overrides, directory=tmp_path / "run").the_error()
        assert said in line, line
    for said, overrides in {"there is no folder": ["reference=/none"], "no patch file": ["patch=~/none"]}.items():
        assert said in command_runs.evaluate(*overrides, directory=tmp_path / "run").the_error()
    assert "no such file" in command_runs.train(*wrong["no such file"], directory=tmp_path / "run").the_error()
    tiny = [*command_runs.tiny_demo.OVERRIDES, "accelerator=cpu"]
    for said, overrides in {"no such file": wrong["no such file"], "none.npy: no such file": ["frequency=~/none.npy"]}.items():
        assert said in command_runs.run("localize", *tiny, *overrides, directory=tmp_path / "run").the_error()


def test_weights_that_a_filter_or_a_table_does_not_find_are_missed_before_anything_is_scored(
    tiny_folder, corpus, tmp_path, monkeypatch
):
    def scores(*args):
        raise AssertionError("the corpus was scored")

    monkeypatch.setattr("memunlearn.commands.base_measurements.BaseMeasurements.scores", scores)
    local = ["model=local", f"model.name_or_path={tiny_folder}", *corpus]
    for said, overrides in {
        "has no weight named like": ["model.patterns={'a.{layer}': q}"],
        "layers: 7": ["mask.layers=[7]"],
    }.items():
        assert said in command_runs.train(*local, *overrides, directory=tmp_path / "run").the_error()


def test_it_is_said_how_text_begins(tiny_folder, tmp_path):
    (tmp_path / "corpus.jsonl").write_text(
        "".join(json.dumps({"text": f"so it goes on and on {n} " * 9}) + "\n" for n in range(3))
    )
    local = ["model=local", f"model.name_or_path={tiny_folder}", "paragraphs=files", f"paragraphs.path={tmp_path}/corpus.jsonl"]
    usual = command_runs.evaluate(*local, directory=tmp_path / "usual")
    assert usual.code == 0 and "text is tokenized without BOS, as the tokenizer does" in usual.out
    asked = command_runs.evaluate(*local, "paragraphs.bos=true", directory=tmp_path / "asked")
    assert "(paragraphs.bos=true)" in asked.out and "reused from the cache" not in asked.out
