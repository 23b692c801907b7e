"""Keys: the same content gives the same text, any other content another."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memunlearn.caching.keys import canonical, digest, tensor_digest

scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3) | st.floats(-2, 2)
contents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8
)


def same(one, other):
    """Equality that tells 1 from True and from 1.0, as JSON does."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


@given(contents, contents)
def test_two_contents_have_one_digest_only_if_they_are_the_same(one, other):
    assert (digest(one) == digest(other)) == same(one, other)


def test_the_order_of_names_is_without_meaning_and_that_of_lists_is_not():
    assert canonical({"b": [1, 2], "a": {"d": 0, "c": 1}}) == canonical({"a": {"c": 1, "d": 0}, "b": [1, 2]})
    assert digest([1, 2]) != digest([2, 1])


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, torch.ones(2)], ids=str)
def test_what_json_cannot_hold_is_no_key(value):
    with pytest.raises((TypeError, ValueError)):
        canonical({"value": value})


def test_a_tensor_is_told_by_type_shape_and_bytes():
    ids = torch.arange(12).view(3, 4)
    changed = ids.clone()
    changed[1, 2] += 1
    others = [ids.view(4, 3), ids.to(torch.int32), changed, ids[:2], ids.flip(0)]
    assert len({tensor_digest(tensor) for tensor in (ids, *others)}) == 6
    transposed = torch.arange(12).view(3, 4).T.contiguous().T  # other strides, the same content
    assert not transposed.is_contiguous() and tensor_digest(transposed) == tensor_digest(ids)
