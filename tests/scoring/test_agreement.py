"""nDCG by hand and against its formula."""

import math

import pytest
import torch

from memunlearn.scoring.agreement import token_ndcg


def naive(base_p, base_ids, ids):
    gain = dict(zip(base_ids, base_p, strict=True))
    dcg = sum(gain.get(token, 0.0) / math.log2(rank + 1) for rank, token in enumerate(ids, 1))
    return dcg / sum(p / math.log2(rank + 1) for rank, p in enumerate(base_p, 1))


@pytest.mark.parametrize("k", [1, 3, 10])
def test_against_the_formula(k):
    generator = torch.Generator().manual_seed(k)
    base, current = (torch.randn(4, 3, 14, generator=generator) for _ in range(2))
    p, base_ids = base.softmax(-1).topk(k)
    ids = current.topk(k).indices
    found = token_ndcg(p, base_ids, ids)
    for i in range(4):
        for j in range(3):
            expected = naive(p[i, j].tolist(), base_ids[i, j].tolist(), ids[i, j].tolist())
            assert float(found[i, j]) == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert found.std() > 0


def test_by_hand_and_at_the_ends():
    p, base_ids = torch.tensor([[[0.6, 0.3]]]), torch.tensor([[[4, 7]]])
    ideal = 0.6 + 0.3 / math.log2(3)
    for ids, expected in (([4, 7], ideal), ([7, 4], 0.3 + 0.6 / math.log2(3)), ([1, 4], 0.6 / math.log2(3)), ([1, 2], 0.0)):
        assert float(token_ndcg(p, base_ids, torch.tensor([[ids]]))) == pytest.approx(expected / ideal, rel=1e-6)
