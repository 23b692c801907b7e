"""An option that cannot be is named with its value and what to set instead."""

import pytest

from memunlearn.analyses.options import is_count, is_number, require
from memunlearn.errors import UserError


def test_what_holds_passes_and_what_does_not_is_named():
    require(True, "weight_noise.seeds", 5, ": set a whole number from 1")
    with pytest.raises(UserError, match=r"^analysis\.weight_noise\.seeds=0: set a whole number from 1$"):
        require(False, "weight_noise.seeds", 0, ": set a whole number from 1")


@pytest.mark.parametrize("value", [0, -2.5, 1e9, 3])
def test_numbers(value):
    assert is_number(value)


@pytest.mark.parametrize("value", [True, False, None, "1", [1], float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number(value):
    assert not is_number(value) and not is_count(value)


@pytest.mark.parametrize(
    ("value", "at_least", "fits"), [(1, 1, True), (0, 1, False), (19, 20, False), (20, 20, True), (2.0, 1, False)]
)
def test_counts_are_whole_numbers_from_a_least_one(value, at_least, fits):
    assert is_count(value, at_least) == fits
