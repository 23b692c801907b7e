"""Which jobs each round has."""

import pytest
from test_frontier_settings import settings

from memunlearn.commands.frontier.rounds import merged, method_overrides, number_of_jobs, references, tuned, with_masks
from memunlearn.errors import UserError
from memunlearn.sweeps.frontier.plan import Candidate

MASKS = {"top": ["mask=gradient", "mask.fraction=0.01"], "mlps": ["mask=all", "mask.components=[mlp_in,mlp_out]"]}


def test_strengths_are_factors_of_the_method_s_own_forget_weight():
    found = tuned(settings(factors=[0.333333, 1, 3]), {"a": 0.005, "b": 1.0})
    assert [candidate.strength for candidate in found] == [
        *("forget_weight=0.00167", "forget_weight=0.005", "forget_weight=0.015"),
        *("forget_weight=0.333", "forget_weight=1", "forget_weight=3"),
    ]
    assert found[0].overrides == ("mask=all", "objective=npo", "objective.forget_weight=0.00167")
    assert {candidate.mask for candidate in found} == {"all"}


def test_a_method_s_own_strengths_and_weights():
    found = tuned(
        settings(strengths={"a": ["mask.fraction=0.1", ["mask.fraction=0.2", "x=1"], "x=2"]}, own_weights=["a"], only=["a"]),
        {"a": None},
    )
    assert [candidate.label for candidate in found] == ["a (mask.fraction=0.1)", "a (mask.fraction=0.2 x=1)", "a (x=2)"]
    assert found[1].overrides == ("objective=npo", "mask.fraction=0.2", "x=1")


def test_a_method_without_a_forget_weight_needs_strengths():
    with pytest.raises(
        UserError, match=r"hydra.sweeper.methods.b has no objective.forget_weight: give hydra.sweeper.strengths.b"
    ):
        tuned(settings(), {"a": 0.1, "b": None})


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({}, "all"),
        ({"weights": ["mask=gradient", "mask.fraction=0.05"]}, "gradient fraction=0.05"),
        ({"methods": {"a": ["objective=npo", "mask=random"]}}, "random"),
        ({"weights": []}, ""),
    ],
    ids=str,
)
def test_a_candidate_is_named_by_the_weights_that_it_has(more, name):
    assert {candidate.mask for candidate in tuned(settings(**more), {"a": 0.1, "b": 0.1}) if candidate.method == "a"} == {name}


@pytest.mark.parametrize("more", [{"factors": [1, 1.0001, 3]}, {"strengths": {"a": ["x=1", ["x=1"], "x=2"]}}], ids=str)
def test_a_strength_given_twice_is_refused(more):
    with pytest.raises(UserError, match=r"hydra.sweeper.methods.a has one strength twice"):
        tuned(settings(**more), {"a": 0.1, "b": 0.1})


def test_masks_take_the_place_of_the_mask_that_was_tuned_on():
    best = Candidate("b", "forget_weight=3", "all", ("mask=random", "mask.match=true", "objective=undial", "x=3"))
    found = with_masks(settings(masks=MASKS), [best])
    assert [(candidate.mask, candidate.strength) for candidate in found] == [("top", best.strength), ("mlps", best.strength)]
    assert found[0].overrides == ("objective=undial", "x=3", "mask=gradient", "mask.fraction=0.01")


def test_references_are_as_they_are():
    assert references(settings(references={"default": ["mask=all"]})) == [Candidate("default", "", "", ("mask=all",))]


def test_of_overrides_for_one_key_the_last_counts():
    assert merged(["a=1", "b=2"], ["a=3"], ["+c.d=4", "b=x=y"]) == ("a=3", "b=x=y", "+c.d=4")


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        ({}, {"tuning": 2 * 3 * 2, "masks": 2 * 2 * 2, "confirmation": (2 + 1) * 10}),
        ({"own_weights": ["a"]}, {"tuning": 12, "masks": 4, "confirmation": 30}),
        ({"only": ["a"], "best_with_masks": 1}, {"tuning": 6, "masks": 4, "confirmation": 20}),
    ],
    ids=str,
)
def test_the_number_of_jobs_is_told_before(given, counts):
    one = settings(masks=MASKS, references={"default": []}, **given)
    assert number_of_jobs(one) == counts
    weights = dict.fromkeys(method_overrides(one), 0.1)
    assert len(tuned(one, weights)) * len(one.tuning_seeds) == counts["tuning"]
