"""Paragraphs of a user's own: every kind of file, sets by name, one corpus, and models of other families."""

import csv
import html
import json

import command_runs
import numpy as np
import plain_transformers
import pytest
import tiny_demo
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

P, C = tiny_demo.P, tiny_demo.C


@pytest.fixture
def rows(tiny_folder):
    """The demo's rows by role."""
    return load_file(tiny_folder / "corpus.safetensors")


def as_text(ids, tokenizer):
    """Texts that this tokenizer cuts into exactly these tokens; rows for which there is none are left out."""
    texts = [tokenizer.decode(row.tolist(), clean_up_tokenization_spaces=False) for row in ids]
    kept = [tokenizer(text)["input_ids"] == row.tolist() for text, row in zip(texts, ids, strict=True)]
    return [text for text, same in zip(texts, kept, strict=True) if same], ids[torch.tensor(kept)]


def write_pt(ids, folder, name):
    torch.save(ids, folder / f"{name}.pt")
    return f"{folder}/{name}.pt"


def write_uint16(ids, folder, name):
    np.save(folder / f"{name}.npy", ids.numpy().astype(np.uint16))
    return f"{folder}/{name}.npy"


def write_pair(ids, folder, name):
    np.save(folder / f"{name}_a.npy", ids[:, :P].numpy().astype(np.uint16))
    np.save(folder / f"{name}_b.npy", ids[:, P:].numpy())
    return f"{{prefix: {folder}/{name}_a.npy, continuation: {folder}/{name}_b.npy}}"


def write_jsonl(ids, folder, name):
    (folder / f"{name}.jsonl").write_text("".join(json.dumps({"ids": row}) + "\n" for row in ids.tolist()))
    return f"{folder}/{name}.jsonl"


@pytest.mark.parametrize("write", [write_pt, write_uint16, write_pair, write_jsonl])
def test_sets_by_name_are_used_as_given(tmp_path, tiny_folder, rows, write):
    files = {"forget": rows["memorized"][:3], "bystander": rows["memorized"][3:], "retain": rows["unseen"]}
    named = [f"paragraphs.{name}={write(ids, tmp_path, name)}" for name, ids in files.items()]
    model = ["model=local", f"model.name_or_path={tiny_folder}", "paragraphs=files"]
    ended = command_runs.train(*model, *named, directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    result = ended.result
    assert result["before"]["forget"]["n"] == 3 and result["before"]["forget"]["em"] == C
    assert "not memorized" not in ended.out
    table = [row for row in command_runs.read_rows(tmp_path / "run") if row["set"] == "forget"]
    em, longest, nll = zip(*plain_transformers.rescored(plain_transformers.load(tiny_folder), files["forget"], P), strict=True)
    assert [row["em_before"] for row in table] == list(em)
    assert [row["nll_before"] for row in table] == pytest.approx(list(nll), abs=1e-4)
    # 5 bystanders: one is held out for the stop rule.
    assert result["before"]["bystander"]["n"] == 4


def test_text_in_a_csv_with_a_tokenizer_from_elsewhere(tmp_path, tiny_folder, rows):
    """The model's folder has no tokenizer; text is cut to I tokens by the one that model.tokenizer names."""
    bare = tmp_path / "bare"
    plain_transformers.load(tiny_folder).save_pretrained(bare)
    texts, ids = as_text(rows["memorized"], AutoTokenizer.from_pretrained(tiny_folder))
    assert len(texts) >= 2
    with open(tmp_path / "forget.csv", "w", newline="") as file:
        csv.writer(file).writerows([("id", "paragraph"), *((number, f"{text} and more") for number, text in enumerate(texts))])
    files = ["paragraphs=files", f"paragraphs.forget={tmp_path}/forget.csv"]
    files += [f"paragraphs.retain={write_pt(rows['unseen'], tmp_path, 'retain')}"]
    model = ["model=local", f"model.name_or_path={bare}"]
    refused = command_runs.train(*model, *files, directory=tmp_path / "run")
    assert "model.tokenizer=" in refused.the_error()
    ended = command_runs.train(*model, *files, f"model.tokenizer={tiny_folder}", directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    table = [row for row in command_runs.read_rows(tmp_path / "run") if row["set"] == "forget"]
    expected = [em for em, _, _ in plain_transformers.rescored(plain_transformers.load(tiny_folder), ids, P)]
    assert [row["em_before"] for row in table] == expected
    assert all(any(letter.isalpha() for letter in row["continuation"]) for row in table)


def test_forget_rows_that_are_not_memorized_are_warned_of(tmp_path, tiny_folder, rows):
    forget = torch.cat([rows["memorized"][:2], rows["unseen"][:3]])
    files = ["paragraphs=files", f"paragraphs.forget={write_pt(forget, tmp_path, 'forget')}"]
    files += [f"paragraphs.retain={write_pt(rows['unseen'][3:], tmp_path, 'retain')}"]
    ended = command_runs.train("stop.max_steps=1", *files, directory=tmp_path / "run")
    assert ended.code == 0 and "warning: 3 of 5 forget paragraphs are not memorized (EM < 10)" in ended.out
    note = "3 of 5 forget paragraphs are not memorized (EM < 10): they are trained on, and in every mean."
    assert note in ended.result["notes"] and note in html.unescape((ended.directory / "report.html").read_text())
    assert ended.result["before"]["forget"]["n"] == 5


def label(em):
    """The paper's bins, scaled to C = 10."""
    return "10" if em == 10 else "6-9" if em >= 6 else "3-5" if em >= 3 else "0-2"


@pytest.mark.parametrize("source", ["files", "demo"])
def test_evaluate_finds_the_bin_of_every_row_of_a_corpus(tmp_path, tiny_folder, rows, source):
    half_right = rows["memorized"].clone()
    for row, place in enumerate((P, P + 2, P + 4, P + 6, P + 8, P + 9)):
        half_right[row, place] = (half_right[row, place] + 1) % tiny_demo.SIZES["vocabulary"]
    corpus = torch.cat([rows["memorized"], half_right[:6], rows["unseen"]])
    path = write_pt(corpus, tmp_path, "corpus")
    ended = command_runs.evaluate(f"paragraphs={source}", f"paragraphs.path={path}", directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    table = command_runs.read_rows(tmp_path / "run")
    expected = plain_transformers.recited(plain_transformers.load(tiny_folder), corpus, P)[0]
    assert [row["origin"] for row in table] == [f"corpus.pt:{row}" for row in range(len(corpus))]
    assert [row["em"] for row in table] == expected
    assert [row["bin"] for row in table] == [label(em) for em in expected]
    counts = command_runs.read_result(tmp_path / "run", "evaluation.json")["bins"]
    assert counts == {bin: [label(em) for em in expected].count(bin) for bin in ("0-2", "3-5", "6-9", "10")}
    assert all(counts.values())


def test_train_splits_a_corpus_by_em(tmp_path, rows):
    path = write_pt(torch.cat([rows["unseen"], rows["memorized"]]), tmp_path, "corpus")
    ended = command_runs.train(
        "paragraphs=files", f"paragraphs.path={path}", "paragraphs.max_forget=2", directory=tmp_path / "run"
    )
    assert ended.code == 0, ended.err
    table = command_runs.read_rows(tmp_path / "run")
    assert ended.result["before"]["forget"]["n"] == 2
    for row in table:
        assert (int(row["origin"].split(":")[1]) >= len(rows["unseen"])) == (row["set"] in ("forget", "bystander"))


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama"])
def test_other_families_without_a_tokenizer_run_and_show_ids(tmp_path, family):
    import tiny_architectures

    model = tiny_architectures.tiny_model(family)
    model.save_pretrained(tmp_path / "model")
    ids = tiny_architectures.some_ids(rows=14, length=12)
    files = [f"paragraphs.forget={write_pt(ids[:4], tmp_path, 'forget')}"]
    files += [f"paragraphs.retain={write_pt(ids[4:], tmp_path, 'retain')}"]
    ended = command_runs.run(
        "train",
        "model=local",
        f"model.name_or_path={tmp_path}/model",
        "paragraphs=files",
        "paragraphs.prefix_length=7",
        "paragraphs.continuation_length=5",
        *files,
        *command_runs.TRAINING,
        "save_model=true",
        directory=tmp_path / "run",
    )
    assert ended.code == 0, ended.err
    table = [row for row in command_runs.read_rows(tmp_path / "run") if row["set"] == "forget"]
    assert [row["continuation"] for row in table] == [" ".join(map(str, row[7:].tolist())) for row in ids[:4]]
    saved = plain_transformers.load(tmp_path / "run" / "model")
    by_hand = plain_transformers.patched(tmp_path / "model", tmp_path / "run" / "patch.safetensors")
    with torch.no_grad():
        same = torch.equal(saved(ids).logits, by_hand(ids).logits)
    assert same
    scores = plain_transformers.rescored(saved, ids[:4], 7)
    assert [row["nll_after"] for row in table] == pytest.approx([nll for _, _, nll in scores], abs=1e-4)
