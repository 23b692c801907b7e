"""Spans by hand, and which windows stand for one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memunlearn.recitation.screen import candidates
from memunlearn.recitation.spans import Span, recited_spans, spread


def test_spans_by_hand():
    starts, em = [10, 12, 30, 36, 50, 3], [5, 5, 5, 5, 4, 2]
    assert recited_spans(starts, em, 5) == [
        Span(start=10, end=17, starts=(10, 12)),
        Span(start=30, end=35, starts=(30,)),
        Span(start=36, end=41, starts=(36,)),
    ]
    assert recited_spans(starts, em, 4)[-1] == Span(start=50, end=54, starts=(50,))
    assert recited_spans([10, 15], [5, 5], 5) == [Span(start=10, end=20, starts=(10, 15))]
    assert recited_spans([], [], 5) == [] == recited_spans([1], [4], 5)
    assert len(recited_spans(starts, em, 5)[0]) == 7


@given(st.sets(st.integers(0, 60)), st.integers(1, 9), st.integers(1, 9))
def test_spans_are_the_tokens_of_recited_continuations(starts, length, least):
    em = [(7 * start) % (length + 1) for start in sorted(starts)]
    spans = recited_spans(sorted(starts), em, least)
    tokens = {t for s, right in zip(sorted(starts), em, strict=True) if right >= least for t in range(s, s + right)}
    assert {t for span in spans for t in range(span.start, span.end)} == tokens
    assert all(one.end < other.start for one, other in zip(spans, spans[1:], strict=False))


@pytest.mark.parametrize(
    ("starts", "step", "chosen"),
    [
        ([], 4, []),
        ([7], 4, [7]),
        ([1, 2, 3, 4, 5, 6], 2, [1, 3, 5, 6]),
        ([1, 2, 9, 10], 4, [1, 2, 9, 10]),
        ([1, 9, 10, 11, 20], 4, [1, 9, 11, 20]),
    ],
)
def test_spread_by_hand(starts, step, chosen):
    assert spread(starts, step) == chosen


def test_candidates_are_where_most_tokens_are_hits():
    hits = torch.zeros(30, dtype=torch.bool)
    hits[12:18] = True
    # Continuations of 10 tokens with 6 hits or more begin at 8 to 12; 2 tokens around them are looked at as well.
    assert candidates(hits, 10, 3, neighbourhood=2) == list(range(6, 15))
    assert candidates(hits, 10, 9, neighbourhood=0) == [9, 10, 11, 12]
    assert candidates(hits[:12], 10, 3, neighbourhood=2) == []
    hits[:] = True
    assert candidates(hits, 10, 3, neighbourhood=0) == list(range(3, 21))
