"""Windows of texts by hand, and what must hold of any of them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memunlearn.errors import UserError
from memunlearn.paragraphs.paragraph_set import FILL
from memunlearn.paragraphs.windows import Cutting, Windows, window_rows


def windows(**changed):
    return Windows(**{"prefix_length": 5, "continuation_length": 4, "stride": 4, "min_prefix": 2, "covering": True, **changed})


@pytest.mark.parametrize(
    ("changed", "tokens", "starts"),
    [
        ({}, 5, []),
        ({}, 6, [2]),
        ({}, 9, [2, 5]),
        ({}, 14, [2, 6, 10]),
        ({}, 15, [2, 6, 10, 11]),
        ({"stride": 1}, 8, [2, 3, 4]),
        ({"covering": False}, 6, [2]),
        ({"covering": False}, 8, [4]),
        ({"covering": False}, 9, [5]),
        ({"covering": False}, 14, [5, 9]),
        ({"covering": False, "stride": 9}, 30, [5, 14, 23]),
        ({"covering": False, "most": 2}, 30, [5, 9]),
        ({"covering": False, "first_only": True}, 30, [5]),
        ({"first_only": True}, 8, [4]),
        ({"first_only": True}, 5, []),
    ],
)
def test_starts_by_hand(changed, tokens, starts):
    assert windows(**changed).starts(tokens) == starts


def test_what_precedes_the_text_is_part_of_the_prefix():
    assert windows(covering=False).starts(14, before=1) == [4, 8]
    assert windows(covering=False, min_prefix=5).starts(14, before=2) == [3, 7]


@given(st.integers(0, 90), st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.integers(1, 15), st.booleans())
def test_every_token_lies_in_a_continuation_behind_the_first_ones(tokens, prefix, continuation, least, stride, covering):
    least, stride = min(least, prefix), min(stride, continuation)
    how = Windows(prefix_length=prefix, continuation_length=continuation, stride=stride, min_prefix=least, covering=covering)
    starts = how.starts(tokens)
    covered = {token for start in starts for token in range(start, start + continuation)}
    first = least if covering else min(prefix, tokens - continuation)
    end = tokens if covering else tokens - (tokens - continuation - first) % stride
    expected = set(range(first, end)) if tokens >= least + continuation else set()
    assert covered == expected
    assert starts == sorted(set(starts)) and all(start >= least for start in starts)


@pytest.mark.parametrize("covering", [True, False])
@pytest.mark.parametrize("first_only", [True, False])
def test_no_more_of_a_text_is_read_than_is_said(covering, first_only):
    how = windows(covering=covering, first_only=first_only, most=3)
    read = how.tokens_read()
    assert how.starts(read)[: how.most] == how.starts(10_000)
    assert windows().tokens_read() is None


def test_rows_by_hand():
    rows = window_rows(torch.arange(10, 22), [2, 6, 8], 5, 4, before=[7])
    assert rows.tolist() == [
        [7, FILL, FILL, 10, 11, 12, 13, 14, 15],
        [7, 12, 13, 14, 15, 16, 17, 18, 19],
        [7, 14, 15, 16, 17, 18, 19, 20, 21],
    ]
    assert rows.dtype == torch.int64
    assert window_rows(torch.tensor([1, 2, 3]), [], 5, 4).shape == (0, 9)
    for start in (0, 9):
        with pytest.raises(ValueError, match="do not fit"):
            window_rows(torch.arange(12), [start], 5, 4)


@pytest.mark.parametrize("changed", [{"stride": 0}, {"min_prefix": 0}, {"min_prefix": 6}])
def test_settings_that_cannot_be(changed):
    with pytest.raises(UserError, match=f"paragraphs.{next(iter(changed))}="):
        windows(**changed)


@pytest.mark.parametrize(
    ("source", "changed", "texts", "stride", "covering", "most"),
    [
        ("path", {}, 7, 4, False, 14),
        ("path", {"max_windows": 5}, 7, 4, False, 1),
        ("path", {"max_windows": None}, 7, 4, False, None),
        ("retain", {}, 1, 9, False, 100),
        ("unseen", {}, 3, 9, False, 33),
        ("forget", {}, 7, 4, True, None),
        ("bystander", {"stride": 3}, 7, 3, True, None),
    ],
)
def test_how_a_set_is_cut(source, changed, texts, stride, covering, most):
    cutting = Cutting(source, **{"max_windows": 100, **changed})
    how = cutting.windows(5, 4, texts)
    assert (how.stride, how.covering, how.most, how.first_only) == (stride, covering, most, False)
    assert cutting.is_bounded == (most is not None)


def test_the_shortest_prefix_and_the_first_window():
    assert Cutting("path").windows(50, 4).min_prefix == 10 and Cutting("path").windows(5, 4).min_prefix == 5
    first = Cutting("forget", "first", 3).windows(5, 4)
    assert first.first_only and not first.covering and first.min_prefix == 3


@pytest.mark.parametrize("changed", [{"stride": None}, {"stride": True}, {"stride": "last"}, {"max_windows": 0}])
def test_cuts_that_cannot_be(changed):
    with pytest.raises(UserError, match=f"paragraphs.{next(iter(changed))}="):
        Cutting("path", **changed).windows(5, 4)
