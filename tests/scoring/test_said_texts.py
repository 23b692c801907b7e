"""Edit distance and repetition against loops and by hand."""

from functools import cache

import pytest
import torch

from memunlearn.scoring.said_texts import distinct_grams, levenshtein, similarity


def naive_distance(one, other):
    @cache
    def distance(i, j):
        if i == 0 or j == 0:
            return i + j
        same = one[i - 1] == other[j - 1]
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + (not same))

    return distance(len(one), len(other))


@pytest.mark.parametrize(("first", "second", "alphabet"), [(7, 7, 3), (1, 5, 2), (9, 4, 4), (6, 6, 50), (12, 12, 2)])
def test_levenshtein_against_its_definition(first, second, alphabet):
    generator = torch.Generator().manual_seed(first)
    one, other = (torch.randint(0, alphabet, (30, length), generator=generator) for length in (first, second))
    expected = [naive_distance(tuple(a), tuple(b)) for a, b in zip(one.tolist(), other.tolist(), strict=True)]
    found = levenshtein(one, other)
    assert found.tolist() == expected and found.dtype == torch.int64
    assert torch.equal(found, levenshtein(other, one))


def test_by_hand():
    kitten, sitting = (torch.tensor([[ord(c) for c in word]]) for word in ("kitten", "sitting"))
    assert levenshtein(kitten, sitting).tolist() == [3]
    texts = torch.tensor([[1, 2, 3, 4], [2, 3, 4, 9], [5, 6, 7, 8]])
    true = torch.tensor([[1, 2, 3, 4]]).expand(3, -1)
    assert similarity(texts, true).tolist() == [1.0, 0.5, 0.0]  # one token shifted: one left out, one put in
    assert similarity(texts[:0], true[:0]).shape == (0,)


def naive_distinct(tokens):
    shares = []
    for n in range(1, min(4, len(tokens)) + 1):
        grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
        shares.append(len(set(grams)) / len(grams))
    return sum(shares) / len(shares)


@pytest.mark.parametrize("length", [1, 3, 4, 13])
def test_distinct_grams_against_a_loop(length):
    said = torch.randint(0, 3, (12, length), generator=torch.Generator().manual_seed(length))
    assert distinct_grams(said).tolist() == pytest.approx([naive_distinct(row) for row in said.tolist()])


def test_distinct_grams_by_hand():
    """Eight times the same: 1 of 8, 1 of 7, 1 of 6, 1 of 5."""
    said = torch.tensor([[5] * 8, list(range(8))])
    assert distinct_grams(said).tolist() == [pytest.approx((1 / 8 + 1 / 7 + 1 / 6 + 1 / 5) / 4), 1.0]
    assert distinct_grams(said[:0]).shape == (0,)
