"""The screen's hits against passes made one by one."""

import pytest
import tiny_architectures as tiny
import torch

from memunlearn.recitation.screen import screened_hits


def naive(model, ids, before, length, step):
    """Tokens that the argmax of some pass gets right, each pass a loop over its positions."""
    room = min(length - len(before), len(ids))
    starts = sorted({*range(0, len(ids) - room + 1, step), len(ids) - room})
    hits = [False] * len(ids)
    for start in starts:
        row = torch.cat([torch.tensor(before, dtype=torch.int64), ids[start : start + room]])
        with torch.no_grad():
            said = model(row[None]).logits[0].argmax(-1)
        for place in range(1, len(row)):
            token = start + place - len(before)
            if token >= start and said[place - 1] == row[place]:
                hits[token] = True
    return hits


@pytest.mark.parametrize("before", [(), (5,), (5, 9)])
@pytest.mark.parametrize(("count", "length", "step"), [(23, 9, 3), (23, 9, 4), (6, 9, 2), (30, 30, 7), (9, 9, 1)])
def test_hits_are_those_of_all_passes(before, count, length, step):
    model = tiny.tiny_model("gpt2")
    ids = tiny.some_ids(7, 1, count)[0]
    # So that there are hits at places of their own: half of the tokens are what the model says there.
    with torch.no_grad():
        for place in range(2, count, 2):
            ids[place] = model(ids[None, max(0, place - 5) : place]).logits[0, -1].argmax()
    expected = naive(model, ids, before, length, step)
    assert screened_hits(model, ids, before, length, step=step, batch_tokens=20).tolist() == expected
    assert any(expected) and not all(expected)


def test_of_one_token_nothing_is_known():
    model = tiny.tiny_model("gpt2")
    assert screened_hits(model, torch.tensor([3]), (), 9, step=1, batch_tokens=20).tolist() == [False]
