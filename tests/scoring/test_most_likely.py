"""The most likely tokens are those of torch.topk."""

import pytest
import torch

from memunlearn.scoring.most_likely import GROUP, most_likely


@pytest.mark.parametrize("k", [1, 10, 40])
@pytest.mark.parametrize("vocabulary", [40, 79, 640, 641, 647, 2048, 5003])
def test_as_topk(vocabulary, k):
    logits = torch.randn(3, 5, vocabulary, generator=torch.Generator().manual_seed(vocabulary))
    values, ids = most_likely(logits, k)
    expected = logits.topk(k)
    assert torch.equal(values, expected.values) and torch.equal(ids, expected.indices)


def test_where_the_highest_share_a_group_or_are_the_last_ones():
    k, groups = 10, 30
    for places in (torch.arange(k) * groups % (groups * GROUP), groups * GROUP + 5 - torch.arange(k)):
        logits = torch.zeros(groups * GROUP + 6)
        places = places.unique()
        logits[places] = 1 + torch.arange(len(places)).float()
        values, ids = most_likely(logits, len(places))
        assert ids.tolist() == places.flip(0).tolist() and values.min() == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_ties_have_the_same_values_and_ids_that_have_them(dtype):
    logits = torch.randn(7, 4, 3000, generator=torch.Generator().manual_seed(0)).to(dtype)
    values, ids = most_likely(logits, 40)
    assert torch.equal(values, logits.topk(40).values) and torch.equal(logits.gather(-1, ids), values)
    assert all(len(row.unique()) == 40 for row in ids.flatten(0, 1))


def test_no_rows():
    assert most_likely(torch.empty(0, 5, 2048), 10)[1].shape == (0, 5, 10)
