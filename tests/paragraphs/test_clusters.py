from __future__ import annotations

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memunlearn.paragraphs.clusters import SHINGLE, cluster_rows, cluster_shares, halves, near_duplicates, repeats
from memunlearn.paragraphs.paragraph_set import FILL, ParagraphSet
from memunlearn.scoring.runs import longest_common_run


def naive_clusters(ids: torch.Tensor, shingle: int) -> list[int]:
    """Sets of windows, compared pair by pair until nothing changes."""
    rows = [tuple(row) for row in ids.tolist()]
    width = min(shingle, ids.shape[1])
    windows = [{row[start : start + width] for start in range(len(row) - width + 1)} for row in rows]
    cluster = list(range(len(rows)))
    changed = True
    while changed:
        changed = False
        for i in range(len(rows)):
            for j in range(len(rows)):
                if cluster[i] < cluster[j] and windows[i] & windows[j]:
                    cluster[j] = cluster[i]
                    changed = True
    order = {number: place for place, number in enumerate(dict.fromkeys(cluster))}
    return [order[number] for number in cluster]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_same_as_the_naive_way(data):
    rows, width = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 12))
    tokens = st.lists(st.sampled_from([0, 7, 50256]), min_size=width, max_size=width)
    ids = torch.tensor(data.draw(st.lists(tokens, min_size=rows, max_size=rows)))
    shingle = data.draw(st.integers(1, 13))
    found = cluster_rows(ids, shingle)
    assert found.dtype == torch.int64
    assert found.tolist() == naive_clusters(ids, shingle)


def test_planted_near_duplicates():
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(0, 50257, (40, 100), generator=generator)
    ids[31, 5:25] = ids[2, 60:80]  # 20 tokens, elsewhere
    ids[17, :20] = ids[31, 80:]  # through row 31
    ids[9, 40:59] = ids[4, 40:59]  # 19 tokens only
    ids[38] = ids[11]
    clusters = cluster_rows(ids)
    assert clusters[2] == clusters[31] == clusters[17]
    assert clusters[38] == clusters[11]
    assert clusters[9] != clusters[4]
    assert len(clusters.unique()) == 40 - 3
    assert clusters[0] == 0 and clusters.max() == 36
    first_rows = [clusters.tolist().index(number) for number in range(37)]
    assert first_rows == sorted(first_rows)


def test_rows_shorter_than_a_shingle_are_together_if_identical():
    assert cluster_rows(torch.tensor([[1, 2, 3], [1, 2, 4], [1, 2, 3]])).tolist() == [0, 1, 0]


def test_no_rows_and_no_shingle():
    assert cluster_rows(torch.empty(0, 100, dtype=torch.int64)).tolist() == []
    with pytest.raises(ValueError, match="shingle"):
        cluster_rows(torch.tensor([[1, 2]]), 0)


def test_three_thousand_rows_are_quick():
    ids = torch.randint(0, 50257, (3000, 100), generator=torch.Generator().manual_seed(0))
    start = time.perf_counter()
    assert len(cluster_rows(ids).unique()) == 3000
    assert time.perf_counter() - start < 10


def test_every_cluster_of_a_set_weighs_once():
    clusters, sets = [7, 7, 7, 2, 2, 5], [0, 0, 1, 1, 1, 0]
    assert cluster_shares(clusters).tolist() == pytest.approx([1 / 3] * 3 + [1 / 2] * 2 + [1])
    assert cluster_shares(clusters, sets).tolist() == pytest.approx([1 / 2, 1 / 2, 1, 1 / 2, 1 / 2, 1])
    assert len(cluster_shares([])) == 0


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_row_repeats_another_where_their_longest_common_run_is_a_shingle(data):
    width, shingle = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 13))
    tokens = st.lists(st.sampled_from([0, 7, 50256]), min_size=width, max_size=width)
    rows, others = (torch.tensor(data.draw(st.lists(tokens, min_size=1, max_size=6))) for _ in range(2))
    found = repeats(rows, others, shingle)
    assert found.dtype == torch.bool
    runs = [max(int(longest_common_run(row[None], other[None])) for other in others) for row in rows]
    assert found.tolist() == [run >= min(shingle, width) for run in runs]


@pytest.mark.parametrize(("shared", "repeated"), [(SHINGLE, True), (SHINGLE - 1, False)])
def test_twenty_tokens_in_a_row_at_any_place_are_a_repetition(shared, repeated):
    text = torch.arange(1000, 1050)
    other = torch.arange(2000, 2050)
    other[3 : 3 + shared] = text[30 - shared // 2 : 30 - shared // 2 + shared]
    assert repeats(other[None], torch.stack([torch.arange(50), text])).tolist() == [repeated]


def test_nothing_is_repeated_where_there_is_nothing():
    rows = torch.arange(60).reshape(3, 20)
    assert repeats(rows, rows[:0]).tolist() == [False] * 3 and repeats(rows[:0], rows).tolist() == []


@pytest.mark.parametrize("seed", range(6))
def test_halves_by_cluster(seed):
    """By a loop: a cluster is on one side, and half of the clusters (rounded down) are attacked."""
    generator = torch.Generator().manual_seed(seed)
    clusters = torch.randint(0, 9, (30,), generator=generator) * 7 + 3
    attacked_rows, other = halves(clusters, seed)
    assert sorted([*attacked_rows.tolist(), *other.tolist()]) == list(range(30))
    one, two = ({int(clusters[row]) for row in rows} for rows in (attacked_rows.tolist(), other.tolist()))
    assert not one & two and len(one) == len(set(clusters.tolist())) // 2
    assert torch.equal(halves(clusters, seed)[0], attacked_rows)


def test_every_half_of_four_clusters_comes_up_and_of_one_there_is_none():
    clusters = torch.tensor([9, 0, 0, 2, 2, 4])
    seen = {frozenset(clusters[halves(clusters, seed)[0]].tolist()) for seed in range(40)}
    assert len(seen) == 6 and all(len(half) == 2 for half in seen)
    assert [len(half) for half in halves(torch.tensor([3, 3]), 0)] == [0, 2]


def test_fill_is_like_no_token():
    """Rows with short prefixes are not near-duplicates for what both lack."""
    ids = torch.randint(0, 10**6, (3, 60), generator=torch.Generator().manual_seed(2))
    ids[:, :30] = FILL
    assert cluster_rows(ids).tolist() == [0, 1, 2]
    ids[2, 35:55] = ids[0, 31:51]
    assert cluster_rows(ids).tolist() == [0, 1, 0]
    assert cluster_rows(ids, texts=[("forget", "a"), None, ("retain", "a")]).tolist() == [0, 1, 0]


def test_rows_of_one_text_are_one_cluster_whatever_they_share():
    ids = torch.randint(0, 10**6, (5, 40), generator=torch.Generator().manual_seed(3))
    texts = [("forget", "a"), ("forget", "b"), None, ("forget", "a"), ("retain", "b")]
    assert cluster_rows(ids).tolist() == [0, 1, 2, 3, 4]
    assert cluster_rows(ids, texts=texts).tolist() == [0, 1, 2, 0, 3]


@pytest.mark.parametrize("starts", [(0, 0), (1, 1), (0, 1), (1, 0)])
def test_near_duplicates_of_known_rows(starts):
    """Whatever stands in front of the text of either."""
    ids = torch.randint(1, 10**6, (4, 50), generator=torch.Generator().manual_seed(5))
    known = torch.randint(1, 10**6, (2, 50), generator=torch.Generator().manual_seed(6))
    ids[:, : starts[0]], known[:, : starts[1]] = 7, 7
    ids[1, 30:50], ids[3, 10:29] = known[1, 3:23], known[0, 20:39]
    rows, others = (
        ParagraphSet(some, 25, tuple(map(str, range(len(some)))), start)
        for some, start in zip((ids, known), starts, strict=True)
    )
    assert near_duplicates(rows, others).tolist() == [False, True, False, False]
