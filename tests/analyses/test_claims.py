"""Nothing is claimed that the numbers do not bear out."""

import pytest

from memunlearn.analyses.claims import SIGNIFICANT, TOO_FEW, direction, linked
from memunlearn.statistics.intervals import FEWEST_CLUSTERS
from memunlearn.statistics.two_groups import NOTHING, Comparison
from memunlearn.words import capital, counted, listed, with_interval


def claim(*numbers):
    return direction(Comparison(*numbers), "above", "below", "level")


@pytest.mark.parametrize(
    ("numbers", "claimed"),
    [
        ((2.0, 1.0, 3.0), "above"),
        ((-2.0, -3.0, -1.0), "below"),
        ((0.1, -1.0, 1.0), "level"),
        ((2.0, 1.0, 3.0, 0.04), "above"),
        ((-2.0, -3.0, -1.0, 0.04), "below"),
        ((2.0, 1.0, 3.0, SIGNIFICANT), "level"),
        ((0.1, -1.0, 1.0, 0.01), "level"),
        ((0.0, 0.0, 0.0, 0.01), "level"),
        ((5.0, None, None), TOO_FEW),
        ((5.0, None, None, 0.01), TOO_FEW),
    ],
)
def test_a_direction_needs_the_interval_and_the_p_value(numbers, claimed):
    assert claim(*numbers) == claimed


def test_nothing_is_no_direction_and_the_level_has_a_word_of_its_own():
    assert "nothing to compare" in direction(NOTHING, "above", "below")
    assert direction(Comparison(0.1, -1.0, 1.0), "above", "below") == "no clear difference"


@pytest.mark.parametrize(
    ("value", "p_values", "clusters", "claimed"),
    [
        (0.3, (0.01,), 30, "above"),
        (-0.3, (0.01,), 30, "below"),
        (-0.3, (0.01, 0.04), None, "below"),
        (-0.3, (0.01, SIGNIFICANT), 30, "level"),
        (-0.3, (float("nan"),), 30, "level"),
        (0.0, (0.01,), 30, "level"),
        (-0.3, (0.01,), FEWEST_CLUSTERS - 1, TOO_FEW),
        (-0.3, (0.01,), FEWEST_CLUSTERS, "below"),
        (-0.3, (0.01, None), 30, TOO_FEW),
    ],
)
def test_a_link_needs_every_p_value_and_clusters(value, p_values, clusters, claimed):
    assert linked(value, p_values, "above", "below", "level", clusters=clusters) == claimed


def test_no_correlation_is_no_link():
    assert "nothing to compare" in linked(None, (None,), "above", "below", "level", clusters=30)


def test_too_few_says_how_many_are_needed():
    assert f"fewer than {FEWEST_CLUSTERS}" in TOO_FEW and "chance is not ruled out" in TOO_FEW


def test_an_interval_is_written_as_its_value_is():
    numbers = {"value": 0.5, "low": 0.25, "high": None}
    assert with_interval(numbers | {"low": None}, say="{:.1f}".format) == "0.5"
    assert with_interval(numbers | {"high": 0.75}, "nats", "{:.2f}".format) == "0.50 nats (95 % interval 0.25 to 0.75)"
    assert with_interval(numbers | {"high": 0.75}) == "0.5 (95 % interval 0.25 to 0.75)"


def test_lists_and_counts_in_words():
    assert [listed(list("abc")[:length]) for length in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert (counted(1, "cluster"), counted(0, "cluster"), counted(1280, "row")) == ("1 cluster", "0 clusters", "1,280 rows")
    assert capital("one layer's MLP") == "One layer's MLP"
