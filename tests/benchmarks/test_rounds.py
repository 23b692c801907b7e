"""Ways in turns, by a clock that a test winds."""

import pytest

from benchmarks.rounds import Spread, in_turns, ratios


def test_each_way_is_timed_in_each_round_and_the_first_round_does_not_count():
    clock = iter([0, 100, 100, 101, 0, 2, 2, 5, 0, 4, 4, 6])  # a, b of each of three rounds
    turns = []
    seconds = in_turns({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, 2, lambda: next(clock))
    assert turns == ["a", "b"] * 3
    assert seconds == {"a": [2, 4], "b": [3, 2]}


def test_without_uncounted_rounds_the_first_counts():
    clock = iter([0, 7, 0, 3])
    assert in_turns({"a": lambda: None}, 2, lambda: next(clock), uncounted=0) == {"a": [7, 3]}


def test_ratios_are_of_one_round_each():
    assert ratios([3, 2, 8], [2, 4, 4]) == [1.5, 0.5, 2.0]
    with pytest.raises(ValueError, match="shorter"):
        ratios([1, 2], [1])


def test_a_spread_is_the_median_and_the_ends():
    assert Spread.of([5.0, 1.0, 2.0]) == Spread(2.0, 1.0, 5.0)
    assert Spread.of([4.0, 1.0]) == Spread(2.5, 1.0, 4.0)
