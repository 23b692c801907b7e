"""The top K against a plain sort."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memunlearn.masks.top import top_positions

VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1.0000001, -1.0, 1e-45, -1e-45, 3e38, -3e38, float("inf"), float("-inf")]),
    st.floats(width=32, allow_nan=False),
)


def naive_top(tensors, k):
    """Sorts (descending score, tensor, position)."""
    ranked = sorted((-score, i, j) for i, tensor in enumerate(tensors) for j, score in enumerate(tensor.tolist()))
    return [sorted(j for _, i, j in ranked[:k] if i == tensor) for tensor in range(len(tensors))]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(VALUES, max_size=12), min_size=1, max_size=5).filter(lambda lists: any(lists)), st.data())
def test_is_what_a_sort_would_choose(lists, data):
    tensors = [torch.tensor(values, dtype=torch.float32) for values in lists]
    k = data.draw(st.integers(0, sum(map(len, lists))))
    assert [chosen.tolist() for chosen in top_positions(tensors, k)] == naive_top(tensors, k)


def test_many_scores_with_many_ties():
    generator = torch.Generator().manual_seed(1)
    tensors = [torch.randint(-40, 40, (size,), generator=generator) / 8 for size in (3000, 1, 5000)]
    for k in (1, 7, 400, 4000, 8001):
        assert [chosen.tolist() for chosen in top_positions(tensors, k)] == naive_top(tensors, k)
