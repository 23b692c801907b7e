"""What a step's material gives: what was asked for, computed once and only when it is used."""

import pytest
import torch
from steps import side_of

from memunlearn.errors import UserError
from memunlearn.objectives.contrastive import Unlearn
from memunlearn.objectives.material import Needs, Side, check_objective

LOGITS, LABELS = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([[0, 1], [2, 3], [4, 0]])


@pytest.mark.parametrize("name", ["base_logits", "base_hidden", "hidden"])
def test_what_was_not_asked_for_is_refused_by_name(name):
    with pytest.raises(LookupError, match="Needs." + {"hidden": "layer"}.get(name, name)):
        getattr(side_of(LOGITS, LABELS), name)


@pytest.mark.parametrize("name", ["base_logits", "base_hidden"])
def test_the_base_models_part_is_read_once_and_only_when_used(name):
    reads = []

    def read():
        reads.append(1)
        return LOGITS

    rows = torch.arange(3)
    side = Side.of_logits(rows=rows, labels=LABELS, logits=LOGITS, protected=rows > 1, **{f"read_{name}": read})
    assert not reads
    assert getattr(side, name) is LOGITS and getattr(side, name) is LOGITS and len(reads) == 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"originals": True}, "without alternatives"),
        ({"base_logits": ("original",)}, "original rows"),
        ({"layer": 1, "base_hidden": ("original",)}, "original rows"),
        ({"base_hidden": ("retain",)}, "of no layer"),
    ],
)
def test_needs_that_contradict_themselves_are_refused(asked, says):
    with pytest.raises(ValueError, match=says):
        Needs(**asked)


def test_material_cannot_be_changed():
    with pytest.raises(AttributeError):
        side_of(LOGITS, LABELS).logits = None


def test_an_objective_that_does_not_say_what_it_needs_is_refused():
    class Earlier:
        needs_alternatives = False

        def __call__(self, *given):
            raise AssertionError

    for wrong in (Earlier(), object(), type("Named", (), {"needs": Needs()})()):
        with pytest.raises(UserError, match=f"objective {type(wrong).__name__} does not say what it needs"):
            check_objective(wrong)
    check_objective(Unlearn())
