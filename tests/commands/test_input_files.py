"""The same names with other content are another run: for a sweep that goes on, and for a run that is resumed."""

import json
import os
import shutil

import command_runs
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from memunlearn.commands import input_files
from memunlearn.commands.input_files import NAME_FILES, input_digests
from memunlearn.commands.sweep_folder import content_hash, finished_job


@pytest.fixture
def model(tmp_path):
    """A folder that looks like a checkpoint."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"layers": 2}')
    save_file({"w": torch.arange(4.0)}, folder / "model.safetensors")
    (folder / "README.md").write_text("a note")
    return folder


def config_of(**settings):
    nested: dict = {"seed": 0, "model": {}, "paragraphs": {"column": "text"}}
    for name, value in settings.items():
        group, _, key = name.partition("__")
        nested[group][key] = value
    return nested


def rewrite(path, content):
    """In place, with the size and the time that it had."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def test_a_files_content_counts_wherever_it_lies(tmp_path, model):
    names = {name: tmp_path / f"{name.partition('.')[2]}.jsonl" for name in NAME_FILES if name.startswith("paragraphs.")}
    for number, path in enumerate(names.values()):
        path.write_bytes(b"%d" % number)
    settings = {name.replace(".", "__"): str(path) for name, path in names.items()}
    settings |= {"model__name_or_path": str(model), "model__tokenizer": str(model)}
    config = config_of(**settings)
    before = input_digests(config)
    assert sorted(before) == sorted(name for name in NAME_FILES if "." in name)  # the others are of find and takedown
    for name, path in names.items():
        content = path.read_bytes()
        rewrite(path, b"x")
        changed = input_digests(config)
        assert [one for one in changed if changed[one] != before[one]] == [name]
        rewrite(path, content)
    assert input_digests(config) == before
    moved = shutil.copytree(model, tmp_path / "elsewhere" / "model")
    assert input_digests(config | {"model": {"name_or_path": str(moved)}})["model.name_or_path"] == before["model.name_or_path"]


@pytest.mark.parametrize(("file", "counts"), [("config.json", True), ("model.safetensors", True), ("README.md", False)])
def test_a_models_folder_counts_by_what_is_loaded(model, file, counts):
    config = config_of(model__name_or_path=str(model))
    before = input_digests(config)
    content = bytearray((model / file).read_bytes())
    content[-1] ^= 1
    rewrite(model / file, bytes(content))
    assert (input_digests(config) != before) == counts
    rewrite(model / file, bytes(content))
    (model / "merges.txt").write_text("new")
    assert input_digests(config) != before


def test_pairs_lists_and_names_that_are_no_files(tmp_path):
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.zeros(2))
    pair = {"prefix": str(tmp_path / "a.npy"), "continuation": str(tmp_path / "b.npy")}
    for value in (pair, list(pair.values())):
        before = input_digests(config_of(paragraphs__forget=value))
        np.save(tmp_path / "b.npy", np.ones(2))
        assert input_digests(config_of(paragraphs__forget=value)).keys() == before.keys() == {"paragraphs.forget"}
        assert input_digests(config_of(paragraphs__forget=value)) != before
        np.save(tmp_path / "b.npy", np.zeros(2))
    for name in ("EleutherAI/gpt-neo-125m", "x" * 5000, "nul\0", "", None, 7, "/no/where"):
        assert input_digests(config_of(model__name_or_path=name)) == {}
    assert input_digests({}) == {} == input_digests({"model": "demo"})


def test_a_folder_of_texts_counts_by_all_that_is_read_of_it(tmp_path):
    folder, other = tmp_path / "texts", tmp_path / "c.jsonl"
    (folder / "deep").mkdir(parents=True)
    for path in (folder / "a.txt", folder / "deep" / "b.md", folder / "note.docx", other):
        path.write_text(f"text of {path.name}")
    for value in (str(folder), [str(other), f"{folder}/"]):
        config = config_of(paragraphs__forget=value)
        before = input_digests(config)
        assert before.keys() == {"paragraphs.forget"}
        rewrite(folder / "note.docx", b"is not read")
        assert input_digests(config) == before
        rewrite(folder / "deep" / "b.md", b"other content")
        assert input_digests(config) != before
        (folder / "deep" / "b.md").write_text("text of b.md")
        (folder / "deep" / "b.md").rename(folder / "deep" / "c.md")  # by which its text is called
        assert input_digests(config) != before
        (folder / "deep" / "c.md").rename(folder / "deep" / "b.md")
        assert input_digests(config) == before
    shutil.copytree(folder, tmp_path / "elsewhere" / "texts")
    assert input_digests(config_of(paragraphs__forget=str(tmp_path / "elsewhere" / "texts"))) == input_digests(
        config_of(paragraphs__forget=str(folder))
    )
    assert input_digests(config_of(paragraphs__path=str(tmp_path / "texts" / "deep" / "none"))) == {}


def test_a_file_is_read_once(tmp_path, monkeypatch):
    (tmp_path / "rows.pt").write_bytes(b"rows")
    input_files._sha256.cache_clear()
    for _ in range(3):
        input_digests(config_of(paragraphs__path=str(tmp_path / "rows.pt")))
    assert input_files._sha256.cache_info().misses == 1


def test_a_finished_job_is_one_that_was_made_from_the_files_as_they_are_now(tmp_path, model):
    config = config_of(model__name_or_path=str(model))
    job = tmp_path / "sweep" / "0"
    job.mkdir(parents=True)
    (job / "result.json").write_text(json.dumps({"config": config, "inputs": input_digests(config)}))
    assert finished_job(tmp_path / "sweep", config) == job
    rewrite(model / "config.json", b'{"layers": 3}')
    assert finished_job(tmp_path / "sweep", config) is None
    (job / "result.json").write_text(json.dumps({"config": config}))  # of an earlier version, which did not say it
    assert finished_job(tmp_path / "sweep", config) == job
    assert content_hash(config, {}) != content_hash(config)


def one_bit(folder):
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in sorted(tensors) if "mlp" in name)
    tensors[name].view(-1)[0] += 1e-3
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.fixture
def inputs(tmp_path, tiny_folder):
    """(overrides, folder of the model, file of the paragraphs), of the test's own."""
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    rows = load_file(tiny_folder / "corpus.safetensors")
    path = tmp_path / "rows.pt"
    torch.save(torch.cat([rows["memorized"], rows["unseen"]]), path)
    named = ("model=local", f"model.name_or_path={folder}", "paragraphs=files", f"paragraphs.path={path}")
    return named, folder, path


@pytest.mark.slow
def test_a_sweep_does_a_job_again_whose_model_or_text_was_changed_in_place(tmp_path, inputs):
    named, folder, path = inputs
    sweep = tmp_path / "sweep"

    def done():
        quick = "hydra.callbacks.watch_jobs.summary=false"
        ended = command_runs.train(*named, "seed=0", quick, directory=sweep, where="sweep")
        assert ended.code == 0, ended.err
        return "skipped: this job is complete" not in ended.out

    assert done() and not done()
    assert command_runs.read_result(sweep / "0")["inputs"].keys() == {"model.name_or_path", "paragraphs.path"}
    one_bit(folder)
    assert done()
    torch.save(torch.load(path)[:-1], path)
    assert done() and not done()
    assert sorted(place.name for place in sweep.iterdir() if place.name.isdigit()) == ["0", "1", "2"]


@pytest.mark.parametrize("what", ["model", pytest.param("paragraphs", marks=pytest.mark.slow)])
def test_a_run_is_not_resumed_with_another_model_or_text_under_the_same_name(tmp_path, inputs, what):
    named, folder, path = inputs
    run = tmp_path / "run"
    assert command_runs.train(*named, "stop.forget_em=0", directory=run).code == 0
    (run / "result.json").unlink()  # as if it had been interrupted
    if what == "model":
        one_bit(folder)
    else:
        torch.save(torch.load(path)[:-1], path)
    line = command_runs.run("train", "resume=true", directory=run).the_error()
    assert f"the files of {what}." in line and "have changed since" in line
    assert (run / "checkpoints" / "last.ckpt").is_file() and not (run / "result.json").exists()
