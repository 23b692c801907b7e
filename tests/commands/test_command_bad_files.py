"""Paragraph files and checkpoints that cannot be used: one line, exit code 2, no traceback, no result."""

import os
import pickle

import command_runs
import numpy as np
import pytest
import tiny_demo
import torch
from safetensors.torch import load_file


class RunsCode:
    """Unpickling it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def good(tiny_folder, tmp_path):
    """Overrides for files that work: each test spoils one of them."""
    corpus = load_file(tiny_folder / "corpus.safetensors")
    torch.save(corpus["memorized"][:4], tmp_path / "forget.pt")
    torch.save(corpus["unseen"], tmp_path / "retain.pt")
    return ["paragraphs=files", f"paragraphs.forget={tmp_path}/forget.pt", f"paragraphs.retain={tmp_path}/retain.pt"]


def changed(ids, place, value):
    ids = ids.clone()
    ids[place] = value
    return ids


# How to spoil the tensor of forget rows, and what the line must say.
SPOILED = {
    "too wide": (lambda ids: torch.cat([ids, ids[:, :1]], 1), "21 tokens"),
    "too narrow": (lambda ids: ids[:, 1:], "19 tokens"),
    "one dimension": (lambda ids: ids[0], "[20]"),
    "no rows": (lambda ids: ids[:0], "no rows"),
    "beyond the vocabulary": (lambda ids: changed(ids, (2, 5), 512), "forget.pt:2: token id 512"),
    "negative": (lambda ids: changed(ids, (1, 0), -1), "forget.pt:1: token id -1"),
    "a fraction": (lambda ids: changed(ids.double(), (3, 4), 7.5), "forget.pt:3: 7.5 at position 4"),
    "NaN": (lambda ids: changed(ids.double(), (0, 1), float("nan")), "forget.pt:0: nan at position 1"),
    "a dict": (lambda ids: {"ids": ids}, "dict"),
}


def train(*overrides, directory):
    return command_runs.train("stop.max_steps=1", *overrides, directory=directory / "run")


def no_result(directory):
    finals = ("result.json", "paragraphs.parquet", "patch.safetensors", "report.html")
    return not any((directory / "run" / name).exists() for name in finals)


def test_the_good_files_work(tmp_path, good):
    assert train(*good, directory=tmp_path).code == 0


@pytest.mark.parametrize("how", SPOILED)
def test_ids_that_cannot_be_used(tmp_path, good, how):
    spoil, said = SPOILED[how]
    torch.save(spoil(torch.load(tmp_path / "forget.pt", weights_only=True)), tmp_path / "forget.pt")
    line = train(*good, directory=tmp_path).the_error()
    assert said in line and "forget.pt" in line and no_result(tmp_path), line


def test_a_pickle_that_wants_to_run_code_is_not_loaded(tmp_path, good):
    code = RunsCode(tmp_path / "made by the pickle")
    (tmp_path / "forget.pt").write_bytes(pickle.dumps(code))
    assert "forget.pt" in train(*good, directory=tmp_path).the_error()
    np.save(tmp_path / "forget.npy", np.array([code], dtype=object), allow_pickle=True)
    line = train(*good, f"paragraphs.forget={tmp_path}/forget.npy", directory=tmp_path).the_error()
    assert "forget.npy" in line and not code.folder.exists() and no_result(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such file"), (b"", "is empty"), (b"no tensor at all", "forget.pt")], ids=str
)
def test_a_file_that_is_missing_empty_or_broken(tmp_path, good, content, said):
    (tmp_path / "forget.pt").unlink()
    if content is not None:
        (tmp_path / "forget.pt").write_bytes(content)
    line = train(*good, directory=tmp_path).the_error()
    assert said in line and str(tmp_path / "forget.pt") in line and no_result(tmp_path)


def test_an_unknown_column_lists_those_there_are(tmp_path, good):
    (tmp_path / "forget.csv").write_text("number,words\n1,hello\n")
    files = [f"paragraphs.forget={tmp_path}/forget.csv", "paragraphs.column=text"]
    line = train(*good, *files, directory=tmp_path).the_error()
    assert "'text'" in line and "number, words" in line and no_result(tmp_path)


def test_a_path_and_a_name_do_not_go_together(tmp_path, good):
    line = train(*good, f"paragraphs.path={tmp_path}/retain.pt", directory=tmp_path).the_error()
    assert "paragraphs.path" in line and "paragraphs.forget" in line and no_result(tmp_path)


def test_no_files_at_all(tmp_path):
    assert "paragraphs.path=" in train("paragraphs=files", directory=tmp_path).the_error()


def test_where_nothing_is_memorized_the_line_says_how_to_find_some(tmp_path, good):
    files = ["paragraphs=files", f"paragraphs.path={tmp_path}/retain.pt"]
    line = train(*files, directory=tmp_path).the_error()
    assert "memorized" in line and "paragraphs.path=CORPUS" in line and "python evaluate.py" not in line and no_result(tmp_path)


@pytest.mark.parametrize("missing", ["forget", "retain"])
def test_a_set_that_was_not_given(tmp_path, good, missing):
    files = [override for override in good if not override.startswith(f"paragraphs.{missing}=")]
    line = train(*files, directory=tmp_path).the_error()
    assert f"paragraphs.{missing}=" in line and no_result(tmp_path)


def test_too_few_retain_rows(tmp_path, good):
    torch.save(torch.load(tmp_path / "retain.pt", weights_only=True)[:2], tmp_path / "retain.pt")
    assert "3 clusters" in train(*good, directory=tmp_path).the_error()


def test_paragraphs_longer_than_the_model_reads(tmp_path, tiny_folder):
    torch.save(torch.ones(4, 300, dtype=torch.int64), tmp_path / "long.pt")
    model = ["model=local", f"model.name_or_path={tiny_folder}", "paragraphs=files", f"paragraphs.path={tmp_path}/long.pt"]
    lengths = ["paragraphs.prefix_length=150", "paragraphs.continuation_length=150"]
    ended = command_runs.run("train", *model, *lengths, "trainer.accelerator=cpu", directory=tmp_path / "run")
    assert "300 tokens are longer than the 256" in ended.the_error() and no_result(tmp_path)


class TestModels:
    """The checkpoint is what cannot be used."""

    def line(self, tmp_path, *overrides):
        ended = command_runs.run(
            "train", *tiny_demo.OVERRIDES, "model=local", *overrides, "trainer.accelerator=cpu", directory=tmp_path / "run"
        )
        assert no_result(tmp_path)
        return ended.the_error()

    @pytest.fixture
    def copy(self, tmp_path, tiny_folder):
        folder = tmp_path / "copy"
        folder.mkdir()
        for file in tiny_folder.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        return folder

    def test_no_name(self, tmp_path):
        assert "model.name_or_path=DIR" in self.line(tmp_path)

    def test_no_folder(self, tmp_path):
        assert "there is no folder" in self.line(tmp_path, f"model.name_or_path={tmp_path}/nowhere")

    def test_cut_short(self, tmp_path, copy):
        weights = copy / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        assert str(copy) in self.line(tmp_path, f"model.name_or_path={copy}")

    def test_no_config(self, tmp_path, copy):
        for file in copy.glob("*.json"):
            file.unlink()
        assert "config.json" in self.line(tmp_path, f"model.name_or_path={copy}")

    def test_a_broken_tokenizer(self, tmp_path, copy):
        (copy / "tokenizer.json").write_text("{")
        line = self.line(tmp_path, f"model.name_or_path={copy}", f"model.tokenizer={copy}")
        assert "model.tokenizer" in line and str(copy) in line

    def test_a_name_of_the_hub_that_cannot_be_reached(self, tmp_path, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        line = self.line(tmp_path, "model.name_or_path=no-such/model")
        assert "no-such/model" in line and "model=local model.name_or_path=DIR" in line
