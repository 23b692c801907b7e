"""Forgetting the model's own continuations: which rows, and what becomes of their neighbours."""

import itertools

import pytest
import torch

from memunlearn.errors import UserError
from memunlearn.paragraphs.caps import Caps
from memunlearn.paragraphs.own_text import own_of_corpus, own_of_pools
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.paragraphs.splits import LIKE_MEMORIZED, LIKE_OWN, MIDDLE_EM, SET_NAMES, split_by_em

P, C = 20, 20


def paragraphs(clusters):
    """One row for each number: rows with the same number share their 20-token prefix and nothing else."""
    unique = itertools.count(10**6)
    rows = [[1000 * number + place for place in range(P)] + [next(unique) for _ in range(C)] for number in clusters]
    return ParagraphSet(torch.tensor(rows), P, tuple(f"rows:{row}" for row in range(len(rows))))


def say(prefixes):
    """Something of its own after every prefix."""
    return 5 * 10**6 + prefixes[:, :1] * 100 + torch.arange(C)


def corpus(memorized=8, non_memorized=20, middle=3):
    clusters = [*range(memorized), *(100 + row // 2 for row in range(non_memorized)), *range(200, 200 + middle)]
    em = torch.tensor([C] * memorized + [1] * non_memorized + [C // 2] * middle)
    return paragraphs(clusters), em


def test_own_text_takes_the_place_of_as_many_memorized_rows():
    rows, em = corpus()
    sets, usual = own_of_corpus(rows, em, 3, Caps(), say), split_by_em(rows, em, 3, Caps())
    assert len(sets.forget) == len(usual.forget) == 4
    chosen = sets.rows["forget"]
    assert (em[chosen] == 1).all()
    assert torch.equal(sets.forget.prefixes, rows.prefixes[chosen])
    assert torch.equal(sets.forget.continuations, say(rows.prefixes[chosen]))
    assert sets.forget.origin == tuple(rows.origin[int(row)] for row in chosen)
    bystanders = torch.cat([sets.rows["bystander"], sets.rows["bystander_val"]])
    assert bystanders.sort().values.tolist() == list(range(8)) and not len(sets.near)
    for name in SET_NAMES[1:]:
        assert torch.equal(sets.by_name()[name].ids, rows.ids[sets.rows[name]])
    retain = torch.cat([sets.rows[name] for name in ("retain_train", "retain_val", "retain")]).tolist()
    assert set(retain) == set(range(8, 28)) - set(chosen.tolist())
    assert sets.dropped == {MIDDLE_EM: 3}


def test_whole_clusters_are_taken_and_the_seed_decides_which():
    rows, em = corpus()
    chosen = {seed: own_of_corpus(rows, em, seed, Caps(), say).rows["forget"].tolist() for seed in (0, 0, 1, 2, 3)}
    assert chosen[0] == own_of_corpus(rows, em, 0, Caps(), say).rows["forget"].tolist()
    assert len({tuple(positions) for positions in chosen.values()}) > 1
    for positions in chosen.values():
        pairs = {(position - 8) // 2 for position in positions}
        assert len(pairs) == 2 and len(positions) == 4


def test_a_cluster_that_is_cut_does_not_reach_the_retain_sets():
    rows, em = corpus()
    sets = own_of_corpus(rows, em, 0, Caps(max_forget=3), say)
    assert len(sets.forget) == 3 and sets.dropped[LIKE_OWN] == 1
    near = {(int(row) - 8) // 2 for row in sets.rows["forget"]}
    for name in ("retain_train", "retain_val", "retain"):
        assert not near & {(int(row) - 8) // 2 for row in sets.rows[name]}


def test_what_the_model_says_decides_what_is_near():
    """It recites memorized row 0 after every prefix that it is asked about: that row is near, and the rest is apart."""
    rows, em = corpus()
    sets = own_of_corpus(rows, em, 0, Caps(), lambda prefixes: rows.continuations[:1].expand(len(prefixes), -1))
    assert sets.rows["near"].tolist() == [0]
    assert (sets.clusters["forget"] == sets.clusters["near"][0]).all()
    assert 0 not in sets.rows["bystander"].tolist() + sets.rows["bystander_val"].tolist()


def test_retain_rows_like_what_the_model_says_are_left_out():
    rows, em = corpus()
    told = own_of_corpus(rows, em, 0, Caps(), say).rows["retain"][0]
    sets = own_of_corpus(rows, em, 0, Caps(), lambda prefixes: rows.continuations[told].expand(len(prefixes), -1))
    assert sets.dropped[LIKE_OWN] == 2  # the row itself and the other one of its cluster
    assert int(told) not in [int(row) for name in SET_NAMES for row in sets.rows[name]]


def test_non_memorized_rows_near_memorized_ones_are_not_chosen():
    rows = paragraphs([0, 1, 2, 3, *[0] * 6, *range(100, 108)])
    em = torch.tensor([C] * 4 + [0] * 14)
    for seed in range(5):
        sets = own_of_corpus(rows, em, seed, Caps(), say)
        assert min(sets.rows["forget"].tolist()) >= 10 and sets.dropped == {LIKE_MEMORIZED: 6}


def test_pools_are_split_like_a_corpus():
    rows, em = corpus(middle=0)
    of_pools = own_of_pools(rows.select(range(8)), rows.select(range(8, 28)), 5, Caps(max_forget=2), say)
    of_corpus = own_of_corpus(rows, em, 5, Caps(max_forget=2), say)
    for name in SET_NAMES:
        assert torch.equal(of_pools.by_name()[name].ids, of_corpus.by_name()[name].ids)
        assert torch.equal(of_pools.rows[name], of_corpus.rows[name])


def test_too_few_non_memorized_paragraphs():
    rows, em = corpus(memorized=16, non_memorized=10, middle=0)
    with pytest.raises(UserError, match="takes 8 of 10 .* leaves 1 clusters of them.*max_forget"):
        own_of_corpus(rows, em, 0, Caps(), say)
    assert len(own_of_corpus(rows, em, 0, Caps(max_forget=4), say).forget) == 4
    with pytest.raises(UserError, match="no paragraph is memorized"):
        own_of_corpus(rows, torch.zeros(26, dtype=torch.int64), 0, Caps(), say)
