"""The demo's text and who gets which part of it: no training here."""

import pytest
import torch

from memunlearn.demo.corpus import assign_roles, cut_paragraphs, text_hash, topics, train_tokenizer
from memunlearn.demo.model import Demo
from memunlearn.errors import UserError
from memunlearn.paragraphs.clusters import cluster_rows

ROLES = ("memorized", "unseen", "background")


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(topics(), Demo().vocabulary)


@pytest.fixture(scope="module")
def windows(tokenizer):
    """The default demo's rows [W, 100]."""
    return cut_paragraphs(topics(), tokenizer, 100)


def test_the_tokenizer_gives_every_text_back(tokenizer):
    texts = [*topics()[:20], "Grüße, 世界\r\n\ttabs   and  spaces\n", "<|endoftext|> is a token"]
    for text in texts:
        ids = tokenizer(text, verbose=False)["input_ids"]
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    assert len(tokenizer) == Demo().vocabulary and tokenizer.eos_token_id == 0


def test_windows_are_the_texts_in_order_without_overlap(tokenizer):
    text = "one two three " * 40
    ids = tokenizer(text)["input_ids"]
    cut = cut_paragraphs([text, "short"], tokenizer, 7)
    assert cut.flatten().tolist() == ids[: len(cut) * 7] and len(cut) == len(ids) // 7


@pytest.mark.parametrize("memorized", [Demo().memorized, 256])
def test_no_cluster_has_two_roles(windows, memorized):
    """256 memorized rows can be had, beside the default's others."""
    corpus = assign_roles(windows, memorized, Demo().background, Demo().unseen, seed=0)
    rows = [getattr(corpus, role) for role in ROLES]
    assert [len(part) for part in rows] == [memorized, Demo().unseen, Demo().background]
    clusters = cluster_rows(torch.cat(rows)).split([len(part) for part in rows])
    sets = [set(part.tolist()) for part in clusters]
    assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    assert len(sets[0]) == memorized and len(sets[1]) == Demo().unseen  # no near-duplicates among them either


def test_unseen_rows_share_no_shingle_with_anything_that_is_shown(windows):
    """The same by brute force: 20 tokens in a row."""
    corpus = assign_roles(windows, 64, 450, 180, seed=3)

    def shingles(rows):
        return {tuple(row[start : start + 20]) for row in rows.tolist() for start in range(81)}

    assert not shingles(corpus.unseen) & (shingles(corpus.memorized) | shingles(corpus.background))


def test_roles_follow_the_seed(windows):
    first, again, other = (assign_roles(windows, 64, 450, 180, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.memorized, again.memorized) and torch.equal(first.background, again.background)
    assert not torch.equal(first.memorized, other.memorized) and not torch.equal(first.background, other.background)


@pytest.mark.parametrize("asked", [(5000, 10, 10), (10, 5000, 10), (10, 10, 5000)], ids=str)
def test_more_rows_than_there_are_is_refused(windows, asked):
    said = f"demo.memorized={asked[0]}, demo.unseen={asked[2]} and demo.background={asked[1]}"
    with pytest.raises(UserError, match=said):
        assign_roles(windows, *asked, seed=0)


def test_the_hash_is_of_every_topic(monkeypatch):
    before = text_hash()
    from pydoc_data import topics as documentation

    name = sorted(documentation.topics)[-1]
    monkeypatch.setitem(documentation.topics, name, documentation.topics[name] + " ")
    assert text_hash() != before
