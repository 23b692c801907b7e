"""The stages by name, read from small copies of their data sets through `datasets`, as the published ones are."""

import gzip
import json

import pytest
import stage_stand_ins
from tiny_tokenizers import byte_level

from memunlearn.errors import UserError
from memunlearn.paragraphs.splits import Caps, split_named
from memunlearn.paragraphs.stages.hubble import HubbleSource
from memunlearn.paragraphs.stages.muse import MuseSource
from memunlearn.paragraphs.stages.olmo_memorized import OlmoMemorizedSource
from memunlearn.paragraphs.stages.tofu import TofuSource


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level()


def texts_of(paragraphs):
    """Numbers of the texts in the data set that rows are from, in order, each once."""
    return list(dict.fromkeys(int(origin.split("@")[0].rsplit(":", 1)[1]) for origin in paragraphs.origin))


def test_hubble_deals_what_was_planted_and_what_never_was(tmp_path, tokenizer):
    planted, never = stage_stand_ins.hubble(tmp_path)
    source = HubbleSource(base=str(tmp_path), prefix_length=12, continuation_length=8)
    loaded = source.load(tokenizer)
    often = [number for number, (_, count) in enumerate(planted) if count == 256]
    assert texts_of(loaded.forget) == often[::2] and texts_of(loaded.bystander) == often[1::2]
    assert texts_of(loaded.retain) == [0, 2, 4, 6, 8, 10] and texts_of(source.load_unseen(tokenizer)) == [1, 3, 5, 7, 9, 11]
    tokens = tokenizer(planted[often[0]][0])["input_ids"]
    assert loaded.forget.ids[:2].tolist() == [[-1, -1, *tokens[:18]], tokens[6:26]]
    assert loaded.forget.places[0].columns == {"duplicates": "256"} and loaded.retain.places[0].source == "retain"
    assert loaded.retain.ids[0].tolist() == tokenizer(never[0])["input_ids"][:20]
    assert loaded.forget.origin[:2] == ("passages_gutenberg_unpopular:train:1@10", "passages_gutenberg_unpopular:train:1@18")
    assert "planted 256 times" in loaded.description and loaded.corpus is None
    sets = split_named(loaded.forget, loaded.bystander, loaded.retain, 0, Caps())
    assert len(sets.forget) == len(loaded.forget) and len(sets.retain_train)


def test_hubble_by_how_often_and_how_many(tmp_path, tokenizer):
    planted, _ = stage_stand_ins.hubble(tmp_path)
    lengths = {"base": str(tmp_path), "prefix_length": 12, "continuation_length": 8}
    loaded = HubbleSource(**lengths, duplicates=[1, 16], max_rows=2, max_windows=2).load(tokenizer)
    chosen = [number for number, (_, count) in enumerate(planted) if count in (1, 16)]
    assert texts_of(loaded.forget) == chosen[0:4:2] and texts_of(loaded.bystander) == chosen[1:4:2]
    assert len(loaded.forget) == len(loaded.bystander) == len(loaded.retain) == 2
    for wrong in ([2], [], 256, None):
        with pytest.raises(UserError, match="paragraphs.duplicates=.*is not how often.*a list of some of 1, 4, 16, 64, 256"):
            HubbleSource(**lengths, duplicates=wrong).check()
    for kind in (HubbleSource, MuseSource, TofuSource, OlmoMemorizedSource):
        with pytest.raises(UserError, match="paragraphs.max_rows=0 reads no text"):
            kind(max_rows=0).check()
    with pytest.raises(UserError, match="unpopular:train, planted 64 times: there is no such text"):
        HubbleSource(**lengths, duplicates=[64]).load(tokenizer)


@pytest.mark.parametrize(("corpus", "name"), [("news", "MUSE-News"), ("books", "MUSE-Books")])
def test_muse_takes_sets_from_its_splits(tmp_path, tokenizer, corpus, name):
    texts = stage_stand_ins.muse(tmp_path, name)
    source = MuseSource(base=str(tmp_path), corpus=corpus, prefix_length=12, continuation_length=8, max_rows=4, max_windows=12)
    loaded = source.load(tokenizer)
    sets = {"forget": loaded.forget, "retain1": loaded.retain, "retain2": loaded.bystander}
    for split, members in (*sets.items(), ("holdout", source.load_unseen(tokenizer))):
        assert texts_of(members) == [0, 1, 2, 3] and len(members) == 12
        tokens, begin = tokenizer(texts[split][0])["input_ids"], 10 if split == "forget" else 12
        stride = 8 if split in ("forget", "retain2") else 20
        assert members.origin[:2] == (f"{name}:raw:{split}:0@{begin}", f"{name}:raw:{split}:0@{begin + stride}")
        assert members.ids[1].tolist() == tokens[begin + stride - 12 : begin + stride + 8]


def test_tofu_asks_questions(tmp_path, tokenizer):
    pairs = stage_stand_ins.tofu(tmp_path)
    source = TofuSource(base=str(tmp_path), prefix_length=10, continuation_length=12)
    loaded = source.load(tokenizer)
    sets = {"forget10": loaded.forget, "retain90": loaded.retain, "holdout10": source.load_unseen(tokenizer)}
    for name, members in sets.items():
        assert len(members) + loaded.dropped.get("forget", 0) <= 10 and members.prefix_length == 10
        for ids, number in zip(members.ids.tolist(), texts_of(members), strict=True):
            question, answer = pairs[name][number]
            assert f"Question: {question}\nAnswer:".endswith(tokenizer.decode([token for token in ids[:10] if token >= 0]))
            assert f" {answer}".startswith(tokenizer.decode(ids[10:]))
    assert loaded.bystander is None and "10 % of the authors" in loaded.description
    with pytest.raises(UserError, match="paragraphs.percent=7.*1, 5, 10"):
        TofuSource(base=str(tmp_path), percent=7).check()


def test_olmo_memorized_stands_beside_other_text(tmp_path, tokenizer):
    recited, texts = stage_stand_ins.olmo(tmp_path / "olmo")
    source = OlmoMemorizedSource(base=str(tmp_path / "olmo"), files=["recited.jsonl"], other=f"{tmp_path}/olmo/pile-10k")
    loaded = source.load(tokenizer)
    long = [tokens for tokens in (tokenizer(text)["input_ids"] for text in texts) if len(tokens) >= 58]
    assert loaded.corpus.ids[:5].tolist() == recited and loaded.corpus.prefix_length == 64
    assert loaded.corpus.ids[5:].tolist() == [[-1] * (112 - len(tokens)) + tokens[:112] for tokens in long]
    assert 0 < len(long) < len(texts) and loaded.dropped == {"corpus": len(texts) - len(long)}
    assert loaded.corpus.origin[0] == "recited.jsonl:0" and loaded.corpus.origin[5].startswith("pile-10k:train:")
    with pytest.raises(UserError, match="recited.jsonl:0: has 64 . 48 ids, and 50 . 50 were expected"):
        OlmoMemorizedSource(
            base=str(tmp_path / "olmo"),
            files=["recited.jsonl"],
            other=f"{tmp_path}/olmo/pile-10k",
            prefix_length=50,
            continuation_length=50,
        ).load(tokenizer)
    with pytest.raises(UserError, match="is no list of files"):
        OlmoMemorizedSource(files=[]).check()


def test_another_layout_is_refused_with_the_columns_that_are_there(tmp_path):
    folder = tmp_path / "hubble" / "passages_gutenberg_unpopular"
    stage_stand_ins.hubble(tmp_path / "hubble")
    with gzip.open(folder / "passages_gutenberg_unpopular_train.jsonl.gz", "wt") as file:
        file.write(json.dumps({"passage": "a", "count": 3}) + "\n")
    with pytest.raises(UserError, match="no column text and no column duplicates, but passage, count: set paragraphs.revision"):
        HubbleSource(base=str(tmp_path / "hubble")).check()
    stage_stand_ins.olmo(tmp_path / "olmo")
    (tmp_path / "olmo" / "recited.jsonl").write_text('{"prefix": [1], "suffix_ids": [2]}\n')
    with pytest.raises(UserError, match="recited.jsonl has another layout.*no column prefix_ids, but prefix, suffix_ids"):
        OlmoMemorizedSource(base=str(tmp_path / "olmo"), files=["recited.jsonl"], other=f"{tmp_path}/olmo/pile-10k").check()


def test_values_of_another_kind_are_refused_with_their_row(tmp_path, tokenizer):
    stage_stand_ins.hubble(tmp_path, planted=[("text " * 40, 256), (7, 256)])
    with pytest.raises(UserError, match="train:[01]: column 'text' holds"):
        HubbleSource(base=str(tmp_path), prefix_length=5, continuation_length=5).load(tokenizer)
    stage_stand_ins.olmo(tmp_path / "olmo")
    (tmp_path / "olmo" / "recited.jsonl").write_text('{"prefix_ids": [1, -2], "suffix_ids": [2]}\n')
    with pytest.raises(UserError, match="recited.jsonl:0: column 'prefix_ids' holds a list .*not a list of token ids"):
        OlmoMemorizedSource(base=str(tmp_path / "olmo"), files=["recited.jsonl"], other=f"{tmp_path}/olmo/pile-10k").load(
            tokenizer
        )


def test_what_is_not_there_is_one_line_that_says_what_to_do(tmp_path, monkeypatch):
    stage_stand_ins.tofu(tmp_path)
    with pytest.raises(UserError, match="data set TOFU:forget05:train cannot be read .*'forget05' not found.*paragraphs.base"):
        TofuSource(base=str(tmp_path), percent=5).check()
    with pytest.raises(UserError, match="paragraphs.corpus=poems is not known: use books or news"):
        MuseSource(corpus="poems").check()
    for base in (f"{tmp_path}/nowhere", "./nowhere"):
        with pytest.raises(UserError, match="there is no such folder: give one with copies, or the Hub's owner"):
            MuseSource(base=base).check()
    with pytest.raises(UserError, match="there is no MUSE-News in this folder"):
        MuseSource(base=str(tmp_path)).check()
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for source, name in ((MuseSource(), "muse-bench/MUSE-News"), (HubbleSource(), "allegrolab/passages_gutenberg_unpopular")):
        with pytest.raises(
            UserError, match=f"cannot be read.*hf download {name} --repo-type dataset.*paragraphs.base=DIR"
        ) as said:
            source.check()
        assert "\n" not in str(said.value)


def test_a_table_without_rows_is_refused(tmp_path):
    stage_stand_ins.hubble(tmp_path, planted=[])
    with pytest.raises(UserError, match="has no rows|cannot be read"):
        HubbleSource(base=str(tmp_path)).check()


def test_a_table_is_looked_at_once_in_a_process(tmp_path, tokenizer, monkeypatch):
    import datasets

    stage_stand_ins.muse(tmp_path)
    opened, load = [], datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", lambda *given, **how: opened.append(how["split"]) or load(*given, **how))
    source = MuseSource(base=str(tmp_path), prefix_length=12, continuation_length=8)
    source.check()
    source.load(tokenizer)
    assert sorted(opened) == ["forget", "forget", "retain1", "retain1", "retain2", "retain2"]
