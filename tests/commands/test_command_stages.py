"""A stage by name through the commands: trained on, and judged beside its own never-seen rows."""

import sys
from pathlib import Path

import command_runs
import pytest
import tiny_demo
from judged_patches import judge
from safetensors.torch import load_file
from transformers import AutoTokenizer

sys.path.append(str(Path(__file__).parents[1] / "paragraphs"))
import stage_stand_ins  # noqa: E402


@pytest.fixture
def hubble(tiny_folder, tmp_path, monkeypatch):
    """Overrides for a copy of Hubble whose planted text is what the tiny demo recites."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    corpus, tokenizer = load_file(tiny_folder / "corpus.safetensors"), AutoTokenizer.from_pretrained(tiny_folder)
    planted = [(text, 256) for text in tokenizer.batch_decode(corpus["memorized"])]
    never = tokenizer.batch_decode(corpus["unseen"])
    stage_stand_ins.hubble(tmp_path / "copies", planted, never)
    return ["paragraphs=hubble", f"paragraphs.base={tmp_path}/copies"]


def test_hubble_is_unlearned_and_judged(hubble, tmp_path):
    ended = command_runs.train(*hubble, directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    assert "paragraphs: Hubble, passages_gutenberg_unpopular: text planted 256 times" in ended.out
    before, after = ended.result["before"], ended.result["after"]
    assert before["forget"]["n"] == 4 and before["bystander"]["n"] > 0
    assert before["forget"]["em"] > tiny_demo.C / 2 > before["retain"]["em"] and after["forget"]["em"] < before["forget"]["em"]
    judged = judge(tmp_path / "run" / "patch.safetensors", directory=tmp_path / "judged")
    assert judged.code == 0, judged.err
    rows = command_runs.read_rows(tmp_path / "judged")
    unseen = {row["origin"] for row in rows if row["set"] == "unseen"}
    assert unseen and all(origin.startswith("passages_gutenberg_unpopular:test:") for origin in unseen)
    assert not unseen & {row["origin"] for row in rows if row["set"] != "unseen"}
    assert f"never-seen rows: {len(unseen)}" in judged.out
    told = command_runs.read_result(tmp_path / "judged", "evaluation.json")["membership"]
    assert told["never_seen"]["n"] == len(unseen)


@pytest.mark.slow
def test_never_seen_rows_that_are_gone_are_said_and_gone_without(hubble, tmp_path):
    assert command_runs.train(*hubble, directory=tmp_path / "run").code == 0
    (tmp_path / "copies").rename(tmp_path / "elsewhere")
    judged = judge(tmp_path / "run" / "patch.safetensors", directory=tmp_path / "judged")
    assert judged.code == 0, judged.err
    assert (
        f"the run's never-seen rows are not to be had: paragraphs.base={tmp_path}/copies: there is no such folder" in judged.out
    )


def test_a_stage_that_cannot_be_read_is_refused_before_the_model_is_loaded(tmp_path):
    line = command_runs.train("paragraphs=muse", f"paragraphs.base={tmp_path}", directory=tmp_path / "run")
    assert "there is no MUSE-News in this folder" in line.the_error() and "model:" not in line.out
    typed = command_runs.train("paragraphs=tofu", "paragraphs.template={question}", directory=tmp_path / "typed")
    assert "paragraphs.template='{question}' must hold" in typed.the_error()
