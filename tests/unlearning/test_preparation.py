"""What is measured before training, and which rows an edit trains on (docs/published_code.md, point 3)."""

from dataclasses import replace
from functools import partial

import naive_scoring as naive
import pytest
import torch

from memunlearn.errors import UserError
from memunlearn.paragraphs.splits import SET_NAMES
from memunlearn.scoring.alternatives import Alternatives, find_alternatives
from memunlearn.unlearning.preparation import REPORTED, prepare

P, C = 7, 9


def test_every_set_has_a_baseline_and_reported_ones_their_own_continuations(preparation, sets):
    assert tuple(preparation.baselines) == SET_NAMES
    for name, baseline in preparation.baselines.items():
        assert torch.equal(baseline.paragraphs.ids, getattr(sets, name).ids)
        assert torch.equal(baseline.clusters, sets.clusters[name])
        assert (baseline.own is not None) == (name in REPORTED)
        assert baseline.states.hidden.shape[:2] == (len(baseline.paragraphs), C)
    assert preparation.alternatives is None and preparation.loss_rows is sets.forget
    assert preparation.loss_positions == list(range(5))


def test_an_edit_trains_on_the_original_prefix_and_the_alternative(reciting, editing, sets):
    """published_code.md, 3: both as input and as label."""
    assert editing.loss_positions and torch.equal(editing.loss_rows.prefixes, sets.forget.prefixes[editing.loss_positions])
    for ids, position in zip(editing.loss_rows.ids, editing.loss_positions, strict=True):
        prefix = sets.forget.prefixes[position].clone()
        prefix[editing.alternatives.position[position]] = editing.alternatives.token[position]
        said, _ = naive.greedy(reciting, prefix, C)
        assert torch.equal(ids[P:], said) and not torch.equal(ids[P:], sets.forget.continuations[position])


def only_rows(rows):
    """find_alternatives, but with nothing found in the other rows."""

    def find(model, paragraphs):
        found = find_alternatives(model, paragraphs, seed=4)
        return replace(found, found=torch.tensor([row in rows for row in range(len(paragraphs))]))

    return find


def test_rows_without_an_alternative_stay_out_of_the_loss(reciting, editing, sets):
    some = prepare(reciting, sets, only_rows([1, 4]))
    assert some.loss_positions == [1, 4] and len(some.baselines["forget"].paragraphs) == 5
    assert torch.equal(some.loss_rows.ids, editing.alternatives.paragraphs.ids[[1, 4]])
    assert isinstance(some.alternatives, Alternatives) and len(some.alternatives.found) == 5


def test_no_alternative_at_all_is_refused(reciting, sets):
    with pytest.raises(UserError, match="no forget paragraph has an alternative.*raise objective.replacements"):
        prepare(reciting, sets, only_rows([]))


@pytest.mark.parametrize("name", ["forget", "retain_train", "retain_val", "retain"])
def test_an_empty_set_is_refused(reciting, sets, name):
    empty = getattr(sets, name).select(torch.empty(0, dtype=torch.int64))
    with pytest.raises(UserError, match=f"the set {name} is empty"):
        prepare(reciting, replace(sets, **{name: empty}))


def test_sets_that_may_be_empty(reciting, sets):
    none = torch.empty(0, dtype=torch.int64)
    names = ("bystander", "near", "bystander_val")
    without = replace(
        sets, **{n: getattr(sets, n).select(none) for n in names}, clusters={**sets.clusters, **dict.fromkeys(names, none)}
    )
    baselines = prepare(reciting, without, partial(find_alternatives, seed=4)).baselines
    assert all(len(baselines[name].paragraphs) == 0 for name in names)
