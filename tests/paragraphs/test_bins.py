from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memunlearn.paragraphs.bins import bin_labels, em_bins, is_memorized, is_non_memorized


def test_fifty_tokens_give_the_papers_bins():
    assert [em_bin.label for em_bin in em_bins(50)] == ["0-10", "11-29", "30-49", "50"]
    assert bin_labels(torch.tensor([50, 10, 11, 0, 49, 29, 30]), 50) == [
        "50",
        "0-10",
        "11-29",
        "0-10",
        "30-49",
        "11-29",
        "30-49",
    ]


@given(st.integers(1, 400))
def test_bins_partition_every_em(length):
    bins = em_bins(length)
    assert [em for em_bin in bins for em in range(em_bin.low, em_bin.high + 1)] == list(range(length + 1))
    em = torch.arange(length + 1)
    labels = bin_labels(em, length)
    for value, label in enumerate(labels):
        assert is_memorized(em, length)[value] == (label == bins[-1].label) == (value == length)
        assert is_non_memorized(em, length)[value] == (label == bins[0].label) == (value <= length / 5)
        if label not in (bins[0].label, bins[-1].label):
            below = [em_bin.label for em_bin in bins if em_bin.high < 3 * length / 5]
            assert (label in below) == (value < 3 * length / 5)


def test_no_continuation():
    with pytest.raises(ValueError, match="at least one token"):
        em_bins(0)
