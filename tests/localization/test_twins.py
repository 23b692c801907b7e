"""Twins stay with their originals, and paragraphs that no perturbation changes have none (docs/published_code.md, point 2)."""

import pytest
import tiny_architectures as tiny
import torch

from memunlearn.localization.twins import twins_of
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.alternatives import Alternatives, find_alternatives
from memunlearn.scoring.greedy import greedy_continuations

P, C = 5, 6


def rows_of(ids):
    return ParagraphSet(ids, P, tuple(f"row {i}" for i in range(len(ids))))


def alternatives_of(paragraphs, found, position, token, em):
    said = paragraphs.with_continuations(paragraphs.continuations.flip(1))
    return Alternatives(said, torch.tensor(found), torch.tensor(position), torch.tensor(token), torch.tensor(em))


def test_pairs_differ_in_one_prefix_token_and_rows_without_a_twin_are_missed():
    paragraphs = rows_of(tiny.some_ids(1, 5, P + C))
    tokens = [(int(paragraphs.ids[row, position]) + 1) % 61 for row, position in enumerate([0, 4, 2, 3, 1])]
    twins = twins_of(
        paragraphs, alternatives_of(paragraphs, [1 > 0, 1 < 0, 1 > 0, 1 > 0, 1 > 0], [0, 4, 2, 3, 1], tokens, [3, 2, 6, 0, 5])
    )
    assert twins.rows.tolist() == [0, 3, 4]  # 1: nothing else is said; 2: EM is still C
    assert twins.original.origin == twins.perturbed.origin == ("row 0", "row 3", "row 4")
    assert torch.equal(twins.original.ids, paragraphs.ids[[0, 3, 4]])
    assert (twins.original.ids != twins.perturbed.ids).nonzero().tolist() == [[0, 0], [1, 3], [2, 1]]
    assert twins.perturbed.ids[[0, 1, 2], [0, 3, 1]].tolist() == [tokens[0], tokens[3], tokens[4]]
    assert twins.intervention.tolist() == [0, 3, 1] and twins.impact.tolist() == [3, 0, 5]
    assert twins.predicts_impact.tolist() == [7, 4, 9]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_impact_token_is_the_first_that_the_twin_gets_wrong(family):
    model = tiny.tiny_model(family)
    ids = tiny.some_ids(2, 6, P + C)
    ids[:, P:] = greedy_continuations(model, ids[:, :P], C)
    paragraphs = rows_of(ids)
    twins = twins_of(paragraphs, find_alternatives(model, paragraphs))
    assert len(twins) >= 4
    said = greedy_continuations(model, twins.perturbed.prefixes, C)
    for row in range(len(twins)):
        impact = int(twins.impact[row])
        true = paragraphs.continuations[twins.rows[row]]
        assert torch.equal(said[row, :impact], true[:impact]) and said[row, impact] != true[impact]
        with torch.no_grad():
            for side, right in ((twins.original, True), (twins.perturbed, False)):
                logits = model(input_ids=side.ids[row : row + 1]).logits[0, twins.predicts_impact[row]]
                assert (logits.argmax() == true[impact]) == right


def test_alternatives_of_other_paragraphs_are_refused():
    paragraphs = rows_of(tiny.some_ids(1, 3, P + C))
    shuffled = paragraphs.select([1, 2, 0])
    with pytest.raises(ValueError, match="another order"):
        twins_of(paragraphs, alternatives_of(shuffled, [True] * 3, [0] * 3, [60] * 3, [0] * 3))


def test_no_twins_at_all():
    paragraphs = rows_of(tiny.some_ids(1, 2, P + C))
    twins = twins_of(paragraphs, alternatives_of(paragraphs, [False] * 2, [0] * 2, [60] * 2, [0] * 2))
    assert len(twins) == len(twins.original) == len(twins.perturbed) == 0
