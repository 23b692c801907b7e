"""Text begins as the tokenizer begins it, unless something else is asked for; what stands in front is no text."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny_tokenizers
import torch

from memunlearn.errors import UserError
from memunlearn.paragraphs.beginnings import beginning_of, recognize
from memunlearn.paragraphs.clusters import cluster_rows
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.paragraphs.readers import read_paragraphs
from memunlearn.paragraphs.sources import FileSource, HubSource

P, C = 6, 4
TEXTS = [tiny_tokenizers.words(seed, 30) for seed in range(5)]
HABITS = {
    "nothing": {},
    "BOS": {"beginning": ["<s>"], "bos": "<s>"},
    "BOS and EOS": {"beginning": ["<s>"], "ending": ["<|end|>"], "bos": "<s>"},
    "EOS only": {"ending": ["<|end|>"]},
    "two tokens": {"beginning": ["[gMASK]", "<sop>"]},
}


@pytest.fixture(scope="module")
def with_bos():
    return tiny_tokenizers.byte_level(beginning=["<s>"], bos="<s>")


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


@pytest.mark.parametrize("habit", HABITS)
def test_a_paragraph_is_what_the_tokenizer_itself_makes_of_the_text(habit, corpus):
    tokenizer = tiny_tokenizers.byte_level(**HABITS[habit])
    read = read_paragraphs(corpus, P, C, tokenizer=tokenizer).paragraphs
    assert read.ids.tolist() == [tokenizer(text)["input_ids"][: P + C] for text in TEXTS]
    assert read.text_start == len(HABITS[habit].get("beginning", ()))
    assert read.prefix_length == P
    plain = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    assert read.text.tolist() == [row[: P + C - read.text_start] for row in plain]


def test_other_beginnings_can_be_asked_for(corpus, with_bos):
    bos = with_bos.bos_token_id
    without = read_paragraphs(corpus, P, C, tokenizer=with_bos, bos=False).paragraphs
    assert without.text_start == 0 and bos not in without.ids
    modest = tiny_tokenizers.byte_level(bos="<s>")
    assert read_paragraphs(corpus, P, C, tokenizer=modest).paragraphs.text_start == 0
    asked = read_paragraphs(corpus, P, C, tokenizer=modest, bos=True).paragraphs
    assert asked.text_start == 1 and (asked.ids[:, 0] == modest.bos_token_id).all()
    assert torch.equal(asked.ids[:, 1:], read_paragraphs(corpus, P, C, tokenizer=modest).paragraphs.ids[:, :-1])
    with pytest.raises(UserError, match="no BOS token"):
        read_paragraphs(corpus, P, C, tokenizer=tiny_tokenizers.byte_level(), bos=True)
    for unknown in ("yes", 1, None):
        with pytest.raises(UserError, match=f"paragraphs.bos={unknown} is not known"):
            read_paragraphs(corpus, P, C, tokenizer=with_bos, bos=unknown)


def test_it_is_said(corpus, with_bos):
    as_usual = FileSource(prefix_length=P, continuation_length=C, path=corpus).load(with_bos).beginning
    assert "BOS <s> in front (as the tokenizer does)" in as_usual
    assert (
        "BOS <s> in front (paragraphs.bos=true)"
        in FileSource(prefix_length=P, continuation_length=C, path=corpus, bos=True).load(with_bos).beginning
    )
    assert (
        "without BOS (paragraphs.bos=false)"
        in FileSource(prefix_length=P, continuation_length=C, path=corpus, bos=False).load(with_bos).beginning
    )
    plain = tiny_tokenizers.byte_level()
    assert (
        FileSource(prefix_length=P, continuation_length=C, path=corpus).load(plain).beginning
        == "text is tokenized without BOS, as the tokenizer does"
    )


def test_a_data_set_begins_in_the_same_way(corpus, with_bos, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    loaded = HubSource(
        name="json", split="train", column=None, prefix_length=P, continuation_length=C, data_files=str(corpus)
    ).load(with_bos)
    assert torch.equal(loaded.corpus.ids, read_paragraphs(corpus, P, C, tokenizer=with_bos).paragraphs.ids)
    assert loaded.corpus.text_start == 1 and "<s>" in loaded.beginning


def test_text_that_begins_with_bos_gets_no_second_one(tmp_path, with_bos):
    path = tmp_path / "exported.jsonl"
    path.write_text("".join(json.dumps({"text": f"<s>{text}"}) + "\n" for text in TEXTS))
    read = read_paragraphs(path, P, C, tokenizer=with_bos).paragraphs
    assert read.ids.tolist() == [with_bos(text)["input_ids"][: P + C] for text in TEXTS]


def test_a_text_of_exactly_enough_tokens_is_kept_with_bos_counted(tmp_path, with_bos):
    text = tiny_tokenizers.words(0, 3)
    length = len(with_bos(text)["input_ids"])
    (tmp_path / "short.jsonl").write_text(json.dumps({"text": text}))
    assert len(read_paragraphs(tmp_path / "short.jsonl", length - 2, 2, tokenizer=with_bos).paragraphs) == 1
    with pytest.raises(UserError, match="none of its 1 rows"):
        read_paragraphs(tmp_path / "short.jsonl", length - 1, 2, tokenizer=with_bos)


def test_ids_are_taken_as_they_are_and_their_bos_is_recognized(tmp_path, with_bos, capsys):
    rows = np.array([with_bos(text)["input_ids"][: P + C] for text in TEXTS])
    np.save(tmp_path / "with.npy", rows)
    read = read_paragraphs(tmp_path / "with.npy", P, C, tokenizer=with_bos).paragraphs
    assert read.ids.tolist() == rows.tolist() and read.text_start == 1
    assert read_paragraphs(tmp_path / "with.npy", P, C, tokenizer=with_bos, bos=False).paragraphs.text_start == 0
    assert capsys.readouterr().err == ""
    rows[1, 0] = rows[1, 1]
    np.save(tmp_path / "without.npy", rows)
    read = read_paragraphs(tmp_path / "without.npy", P, C, tokenizer=with_bos).paragraphs
    assert read.ids.tolist() == rows.tolist() and read.text_start == 0
    assert "without.npy: 1 of 5 rows of ids do not begin with BOS <s>" in capsys.readouterr().err


def test_what_stands_in_front_makes_no_rows_alike():
    """Two rows share 19 tokens of text: with BOS before them that were 20."""
    ids = torch.arange(60).reshape(2, 30) + 1
    ids[:, 0] = 0
    ids[1, 1:20] = ids[0, 1:20]
    rows = ParagraphSet(ids, 15, ("a", "b"), text_start=1)
    assert cluster_rows(rows.text).tolist() == [0, 1]
    assert cluster_rows(rows.ids).tolist() == [0, 0]


def test_it_is_kept_by_whatever_makes_sets_of_sets(with_bos):
    ids = torch.arange(40).reshape(4, 10)
    rows = ParagraphSet(ids, 6, tuple("abcd"), text_start=1)
    assert rows.select([1, 2]).text_start == 1
    assert rows.with_continuations(rows.continuations.flip(0)).text_start == 1
    assert concatenate([rows, rows]).text_start == 1
    assert concatenate([rows, replace(rows, text_start=0)]).text_start == 0
    nothing = beginning_of(with_bos, False)
    assert recognize(rows, nothing, "x") is rows
    with pytest.raises(ValueError):
        ParagraphSet(ids, 6, tuple("abcd"), text_start=7)
