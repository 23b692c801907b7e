"""Rows with a short prefix are read as if nothing stood where FILL is: scores, decoding, gradients."""

import naive_scoring as naive
import pytest
import tiny_architectures as tiny
import torch

from memunlearn.models import eligible_weights
from memunlearn.objectives.losses import token_nll
from memunlearn.paragraphs.paragraph_set import FILL, ParagraphSet
from memunlearn.scoring.alternatives import find_alternatives
from memunlearn.scoring.forward import continuation_logits
from memunlearn.scoring.greedy import greedy_continuations
from memunlearn.scoring.score import score

P, C = 6, 5
every_family = pytest.mark.parametrize("family", tiny.EVERY)
# How many tokens of text each row's prefix has; one is whole.
LENGTHS = (6, 3, 1, 5, 2)


def filled(text_start=0, seed=3):
    """(rows with FILL behind `text_start` tokens, the same rows without)."""
    ids = tiny.some_ids(seed, len(LENGTHS), P + C)
    whole = []
    for row, length in enumerate(LENGTHS):
        length = min(length, P - text_start)
        ids[row, text_start : P - length] = FILL
        whole.append(ids[row][ids[row] != FILL])
    return ParagraphSet(ids, P, tuple(f"row {i}" for i in range(len(ids))), text_start), whole


@every_family
@pytest.mark.parametrize("text_start", [0, 1])
def test_logits_and_scores_are_those_of_the_row_alone(family, text_start):
    model, (rows, alone) = tiny.tiny_model(family), filled(text_start)
    with torch.no_grad():
        logits = continuation_logits(model, rows.ids, C)
    for row, ids in enumerate(alone):
        torch.testing.assert_close(logits[row], naive.logits_of(model, ids)[-C - 1 : -1], rtol=1e-4, atol=1e-5)
    scores = score(model, rows, batch_size=2)
    for row, ids in enumerate(alone):
        one = score(model, ParagraphSet(ids[None], len(ids) - C, ("alone",)))
        assert int(scores.em[row]) == int(one.em[0])
        torch.testing.assert_close(scores.nll[row], one.nll[0], rtol=1e-4, atol=1e-5)


@every_family
def test_decoding_goes_on_from_the_tokens_that_there_are(family):
    model, (rows, alone) = tiny.tiny_model(family), filled()
    said = greedy_continuations(model, rows.prefixes, C, batch_size=3)
    for row, ids in enumerate(alone):
        expected, gaps = naive.greedy(model, ids[:-C], C)
        alike = naive.agreement(said[row], expected)
        assert alike == C or gaps[alike] < 1e-4


@every_family
def test_gradients_are_those_of_the_rows_alone(family):
    model, (rows, alone) = tiny.tiny_model(family), filled()
    names = [weight.name for weight in eligible_weights(model)]
    weights = [model.get_parameter(name) for name in names]
    together = torch.autograd.grad(token_nll(continuation_logits(model, rows.ids, C), rows.continuations).sum(), weights)
    apart = [torch.zeros_like(weight) for weight in weights]
    for ids in alone:
        loss = token_nll(continuation_logits(model, ids[None], C), ids[None, -C:]).sum()
        for total, gradient in zip(apart, torch.autograd.grad(loss, weights), strict=True):
            total += gradient
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_what_is_not_there_is_not_perturbed():
    model, (rows, _) = tiny.tiny_model("gpt_neo"), filled(text_start=1)
    found = find_alternatives(model, rows, replacements=2, seed=1)
    there = rows.prefixes.gather(1, found.position[:, None]) != FILL
    assert there[found.found].all() and found.found.any()
    assert torch.equal(found.paragraphs.prefixes, rows.prefixes)


@pytest.mark.parametrize(
    ("row", "place", "value"), [(1, P - 1, FILL), (2, P + 1, FILL), (0, 0, -2)], ids=["last of prefix", "continuation", "other"]
)
def test_other_negative_ids_are_refused(row, place, value):
    rows, _ = filled()
    ids = rows.ids.clone()
    ids[row, place] = value
    with pytest.raises(Exception, match=f"row {row}: token id {value} is negative"):
        ParagraphSet(ids, P, rows.origin)


def test_short_rows_are_told_and_kept_when_rows_are_chosen():
    rows, _ = filled(text_start=1)
    assert rows.short.tolist() == [length < P - 1 for length in LENGTHS]
    assert rows.select([2, 0]).short.tolist() == [True, False]
