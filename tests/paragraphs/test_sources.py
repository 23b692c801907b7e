from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from memunlearn.errors import UserError
from memunlearn.paragraphs import catalog, sources
from memunlearn.paragraphs.sources import FileSource, HubSource, LMExtractionSource, PileSource


def rows(count, width=5, start=0):
    return torch.arange(start, start + count * width).reshape(count, width)


def tokenize(texts, add_special_tokens, verbose):
    return {"input_ids": [[len(word) for word in text.split()] for text in texts]}


@pytest.fixture
def files(tmp_path):
    for name, ids in {"a": rows(3), "b": rows(2, start=100)}.items():
        torch.save(ids, tmp_path / f"{name}.pt")
    return tmp_path


def test_named_files(files):
    loaded = FileSource(prefix_length=3, continuation_length=2, forget=files / "a.pt", retain=files / "b.pt").load()
    assert loaded.corpus is None and loaded.bystander is None and not loaded.self_generated
    assert torch.equal(loaded.forget.ids, rows(3)) and torch.equal(loaded.retain.ids, rows(2, start=100))
    assert loaded.description == "forget: a.pt, 3 rows; retain: b.pt, 2 rows"


def test_words_among_the_files_to_retain_are_made_later(files):
    named = {"prefix_length": 3, "continuation_length": 2, "forget": files / "a.pt"}
    alone = FileSource(**named, retain="model", retain_rows=150)
    alone.check()
    loaded = alone.load()
    assert loaded.retain is None and len(loaded.all_rows) == 3 and loaded.description == "forget: a.pt, 3 rows"
    assert (loaded.to_make.words, loaded.to_make.rows, loaded.to_make.samples) == (("model",), 150, 150)
    both = FileSource(**named, retain=["demo", str(files / "b.pt")]).load()
    assert torch.equal(both.retain.ids, rows(2, start=100)) and both.to_make.words == ("demo",)
    with_bystanders = FileSource(**named, retain="model", bystander=files / "b.pt").load()
    assert with_bystanders.to_make.samples == 0
    suspected = replace(with_bystanders, suspected=with_bystanders.bystander)
    assert torch.equal(suspected.all_rows.ids[-2:], rows(2, start=100))
    assert FileSource(**named, retain=files / "b.pt").load().to_make is None


def test_one_corpus_and_what_was_too_short(tmp_path, capsys):
    (tmp_path / "c.jsonl").write_text('{"t": "a bb ccc dddd eeeee f"}\n{"t": "a"}\n')
    loaded = FileSource(prefix_length=3, continuation_length=2, path=tmp_path / "c.jsonl", column="t").load(tokenize)
    assert loaded.corpus.ids.tolist() == [[1, 2, 3, 4, 5]] and loaded.forget is None
    assert loaded.dropped == {"corpus": 1}
    assert "1 of 2 texts dropped" in capsys.readouterr().err


def test_a_pair_may_be_any_mapping(tmp_path):
    from omegaconf import OmegaConf

    np.save(tmp_path / "A.npy", rows(2)[:, :3].numpy())
    np.save(tmp_path / "B.npy", rows(2)[:, 3:].numpy())
    pair = OmegaConf.create({"prefix": str(tmp_path / "A.npy"), "continuation": str(tmp_path / "B.npy")})
    loaded = FileSource(prefix_length=3, continuation_length=2, forget=pair).load()
    assert torch.equal(loaded.forget.ids, rows(2))
    assert loaded.description == "forget: A.npy + B.npy, 2 rows"


def test_path_and_names_exclude_each_other(files):
    with pytest.raises(UserError, match="paragraphs.path=CORPUS.*paragraphs.forget="):
        FileSource(prefix_length=3, continuation_length=2).load()
    with pytest.raises(UserError, match="does not go with paragraphs.forget, paragraphs.retain"):
        FileSource(
            prefix_length=3, continuation_length=2, path=files / "a.pt", forget=files / "a.pt", retain=files / "b.pt"
        ).load()


@pytest.fixture
def documents(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    texts = ["a bb ccc dddd eeeee", "short", "x y z x y z", "aaaa b c d e f"]
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(json.dumps({"meta": n, "text": text}) + "\n" for n, text in enumerate(texts)))
    return str(path)


def test_hub_through_a_packaged_builder(documents, capsys):
    loaded = HubSource(
        name="json", split="train", column="text", prefix_length=3, continuation_length=2, data_files=documents
    ).load(tokenize)
    assert loaded.corpus.ids.tolist() == [[1, 2, 3, 4, 5], [1, 1, 1, 1, 1], [4, 1, 1, 1, 1]]
    assert loaded.corpus.origin == ("json:train:0", "json:train:2", "json:train:3")
    assert loaded.dropped == {"corpus": 1}
    assert "json:train: 1 of 4 texts dropped" in capsys.readouterr().err
    assert (
        len(
            HubSource(
                name="json",
                split="train",
                column=None,
                prefix_length=3,
                continuation_length=2,
                data_files=[documents],
                max_rows=1,
            )
            .load(tokenize)
            .corpus
        )
        == 1
    )


def test_hub_errors(documents):
    with pytest.raises(UserError, match="paragraphs.name"):
        HubSource(name=None, split="train", column=None, prefix_length=3, continuation_length=2).load()
    with pytest.raises(UserError, match="no column 'words'.*meta, text"):
        HubSource(
            name="json", split="train", column="words", prefix_length=3, continuation_length=2, data_files=documents
        ).load(tokenize)
    with pytest.raises(UserError, match="model.tokenizer"):
        HubSource(
            name="json", split="train", column="text", prefix_length=3, continuation_length=2, data_files=documents
        ).load()
    with pytest.raises(UserError, match="Bad split.*paragraphs.split"):
        HubSource(name="json", split="test", column="text", prefix_length=3, continuation_length=2, data_files=documents).load(
            tokenize
        )
    with pytest.raises(UserError, match="no rows.*paragraphs.max_rows"):
        HubSource(
            name="json", split="train", column="text", prefix_length=3, continuation_length=2, data_files=documents, max_rows=0
        ).load(tokenize)
    with pytest.raises(UserError, match="none of its 4 rows has 60 tokens"):
        HubSource(
            name="json", split="train", column="text", prefix_length=50, continuation_length=10, data_files=documents
        ).load(tokenize)


def test_hub_unreachable(monkeypatch):
    import datasets

    def refuse(*args, **settings):
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub\nand more lines")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(UserError, match="Couldn't reach.*paragraphs=files paragraphs.path=FILE.*paragraphs.name=parquet"):
        HubSource(name="owner/name", split="train", column="text", prefix_length=3, continuation_length=2).load(tokenize)


def saved(ids):
    buffer = io.BytesIO()
    torch.save(ids, buffer)
    return buffer.getvalue()


def publish(web, monkeypatch, name, contents):
    """Serves contents under the catalog's own addresses, with the catalog's checksums replaced by theirs."""
    entries = {}
    for key, file in getattr(catalog, name).items():
        web.files[f"/{file.repository}/{file.commit}/{file.path}"] = contents[key]
        entries[key] = replace(file, sha256=hashlib.sha256(contents[key]).hexdigest(), git_blob_sha1=None)
    monkeypatch.setattr(sources, name, entries)


def test_pile_takes_roles_from_the_file_of_origin(web, cache, monkeypatch):
    bins = {"50": rows(4, 100), "30-49": rows(2, 100, 1000), "11-29": rows(3, 100, 2000), "0-10": rows(5, 100, 3000)}
    publish(web, monkeypatch, "PILE_BINS", {label: saved(ids) for label, ids in bins.items()})
    loaded = PileSource(base_url=web.url + "/").load()
    assert loaded.self_generated and loaded.corpus is None and loaded.forget is None
    assert torch.equal(loaded.memorized.ids, bins["50"]) and torch.equal(loaded.non_memorized.ids, bins["0-10"])
    assert {label: len(members) for label, members in loaded.bins.items()} == {"50": 4, "30-49": 2, "11-29": 3, "0-10": 5}
    assert loaded.memorized.origin[3] == "50_50_preds.pt:3" and loaded.memorized.prefix_length == 50
    web.stop()
    assert len(PileSource(base_url=web.url).load().memorized) == 4


def test_pile_with_other_bytes_is_refused(web, cache):
    file = catalog.PILE_BINS["0-10"]
    web.files[f"/{file.repository}/{file.commit}/{file.path}"] = saved(rows(3, 100))
    with pytest.raises(UserError, match="0_10_preds.pt.*45f8c597871b6c9add8f316830fd84b85186a988 was expected"):
        PileSource(base_url=web.url, cache_dir=str(cache / "elsewhere")).load()
    assert (cache / "elsewhere").is_dir()


def test_lm_extraction_is_one_corpus(web, cache, monkeypatch):
    halves = {"prefix": rows(6, 50), "continuation": rows(6, 50, 500)}
    contents = {}
    for key, ids in halves.items():
        buffer = io.BytesIO()
        np.save(buffer, ids.numpy().astype(np.uint16))
        contents[key] = buffer.getvalue()
    publish(web, monkeypatch, "LM_EXTRACTION", contents)
    loaded = LMExtractionSource(base_url=web.url).load()
    assert torch.equal(loaded.corpus.prefixes, halves["prefix"]) and torch.equal(
        loaded.corpus.continuations, halves["continuation"]
    )
    assert loaded.corpus.origin[5] == "val_prefix.npy+val_suffix.npy:5" and not loaded.self_generated


@pytest.mark.parametrize("source", [PileSource, LMExtractionSource])
def test_catalog_lengths_are_fixed(source, web):
    with pytest.raises(UserError, match="50 \\+ 50.*not 60 \\+ 40.*paragraphs.prefix_length"):
        source(60, 40, base_url=web.url).load()
    assert web.requests == []


def test_catalog_addresses():
    assert catalog.GITHUB == "https://raw.githubusercontent.com"
    for file in [*catalog.PILE_BINS.values(), *catalog.LM_EXTRACTION.values()]:
        assert len(file.commit) == 40 and (file.sha256 is None) != (file.git_blob_sha1 is None)
        assert len(file.sha256 or "") in (0, 64) and len(file.git_blob_sha1 or "") in (0, 40)
    assert catalog.PILE_BINS["50"].path == "paragraphs/gpt-neo-125M/preds/50_50_preds.pt"


def test_importing_does_not_import_the_heavy_libraries():
    code = "import sys, memunlearn.paragraphs.sources, memunlearn.paragraphs.splits; sys.exit('datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
