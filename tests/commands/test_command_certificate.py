"""`evaluate.py patch=... certificate=true`: what stands in the files, what is on the page, and what is refused."""

import hashlib

import command_runs
import pytest
import tiny_demo
import torch
from judged_patches import assert_same, judge, rewritten, sets_of
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import memunlearn as mu
from memunlearn.models.fingerprints import fingerprint
from memunlearn.paragraphs.roles import row_hashes
from memunlearn.reporting.__main__ import main

NAME = "certificate.html"


@pytest.fixture
def certified(gradient_run, once):
    """The folder of a judged patch with its certificate, texts and all."""

    def make(folder):
        asked = ("certificate=true", "certificate.show_texts=true")
        ended = judge(gradient_run / "patch.safetensors", *asked, directory=folder)
        assert ended.code == 0, ended.err
        folder.with_name("certified.txt").write_text(ended.out)

    return once("certified", make)


@pytest.fixture
def forget(gradient_run):
    return load_file(gradient_run / "rows.safetensors")["forget"]


def facts_of(folder):
    return command_runs.read_result(folder, "evaluation.json")["certificate"]


def said_by(folder, prefix):
    """Greedy decoding by hand: the most likely token, appended, C times."""
    model, ids = AutoModelForCausalLM.from_pretrained(folder).eval(), prefix
    for _ in range(tiny_demo.C):
        with torch.no_grad():
            ids = torch.cat([ids, model(ids.unsqueeze(0)).logits[0, -1].argmax().unsqueeze(0)])
    return ids[len(prefix) :]


def naive_common_run(one, other):
    one, other = one.tolist(), other.tolist()
    runs = (len(one[i:j]) for i in range(len(one)) for j in range(i, len(one) + 1) if _holds(other, one[i:j]))
    return max(runs)


def _holds(tokens, part):
    return any(tokens[start : start + len(part)] == part for start in range(len(tokens) - len(part) + 1))


def leading(said, true):
    hits = (said == true).tolist()
    return hits.index(False) if False in hits else len(hits)


def test_rows_are_what_both_models_say(certified, gradient_run, tiny_folder, forget):
    rows, tokenizer = facts_of(certified)["rows"], AutoTokenizer.from_pretrained(tiny_folder)
    assert [row["sha256"] for row in rows] == list(row_hashes(forget))
    for row, ids in zip(rows, forget, strict=True):
        prefix, true = ids[: tiny_demo.P], ids[tiny_demo.P :]
        for when, folder in (("before", tiny_folder), ("now", gradient_run / "model")):
            said = said_by(folder, prefix)
            assert row[f"em_{when}"] == leading(said, true)
            assert row[f"longest_common_run_{when}"] == naive_common_run(said, true)
            assert row["texts"][when] == tokenizer.decode(said.tolist(), clean_up_tokenization_spaces=False)
    assert any(row["em_before"] != row["em_now"] for row in rows)


def test_hashes_are_those_of_the_files(certified, gradient_run, tiny_folder):
    hashes = facts_of(certified)["hashes"]
    assert hashes["patch"] == hashlib.sha256((gradient_run / "patch.safetensors").read_bytes()).hexdigest()
    assert hashes["base"] == fingerprint(AutoModelForCausalLM.from_pretrained(tiny_folder))
    assert hashes["unlearned"] == fingerprint(AutoModelForCausalLM.from_pretrained(gradient_run / "model"))


def test_before_is_what_the_run_says_of_the_base_model(certified, gradient_run):
    before, told = facts_of(certified)["before"], command_runs.read_result(gradient_run)["before"]
    for name in ("forget", "bystander", "retain"):
        for key in ("n", "em", "memorized", "nll"):
            assert before[name][key] == pytest.approx(told[name][key], abs=1e-4)
    assert_same(sets_of(certified), command_runs.read_result(gradient_run)["after"])


def test_the_page_is_made_of_them_and_can_be_made_again(certified, capsys):
    page = (certified / NAME).read_text("utf-8")
    facts = facts_of(certified)
    assert all(row["sha256"] in page for row in facts["rows"]) and facts["date"] in page
    assert "The demo is a test of the software" in page and "(relearning): not tried" in page
    assert f"wrote {certified / NAME}" in certified.with_name("certified.txt").read_text()
    assert main([str(certified)]) == 0 and NAME in capsys.readouterr().out
    assert (certified / NAME).read_text("utf-8") == page


def test_without_texts_none_are_kept(gradient_run, tmp_path):
    """From Python."""
    patch = f"patch='{gradient_run / 'patch.safetensors'}'"
    mu.evaluate(mu.compose("evaluate", patch, "accelerator=cpu", "certificate.write=true"), tmp_path)
    assert not any("texts" in row for row in facts_of(tmp_path)["rows"])
    row = next(row for row in command_runs.read_rows(gradient_run) if row["set"] == "forget")
    for name in ("evaluation.json", NAME):
        assert row["continuation"].strip().splitlines()[0][:20] not in (tmp_path / name).read_text("utf-8")


def test_an_earlier_certificate_does_not_pass_for_this_one(gradient_run, tmp_path):
    (tmp_path / NAME).write_text("of yesterday")
    assert judge(gradient_run / "patch.safetensors", directory=tmp_path).code == 0
    assert not (tmp_path / NAME).exists()
    assert "certificate" not in command_runs.read_result(tmp_path, "evaluation.json")


def without_roles(tensors, metadata):
    del metadata["roles"], metadata["clusters"]


@pytest.mark.parametrize(
    "overrides, words",
    [
        (("certificate=true",), "add patch=FILE"),
        (("certificate.show_texts=true",), "add certificate=true"),
        (("certificate=true", "patch={}/patch.safetensors"), "does not say which rows were to be forgotten"),
    ],
)
def test_a_certificate_of_nothing_is_refused(overrides, words, gradient_run, tmp_path):
    rewritten(gradient_run / "patch.safetensors", tmp_path / "patch.safetensors", without_roles)
    asked = [one.replace("{}", str(tmp_path)) for one in overrides]
    ended = command_runs.evaluate(*asked, directory=tmp_path / "out")
    assert words in ended.the_error() and "model:" not in ended.out
    assert not (tmp_path / "out" / NAME).exists()
