"""One bar at a time: that of the outermost loop."""

import pytest

from memunlearn.progress import track


def test_every_item_comes_once_and_the_bar_is_named(capsys):
    assert list(track([3, 1, 2], "counting")) == [3, 1, 2]
    assert "counting" in capsys.readouterr().out


def test_a_single_item_shows_no_bar(capsys):
    assert list(track(["one"], "counting")) == ["one"]
    assert capsys.readouterr().out == ""


def test_a_loop_within_a_loop_shows_no_bar_of_its_own(capsys):
    pairs = [(i, j) for i in track(range(3), "outer") for j in track(range(2), "inner")]
    assert pairs == [(i, j) for i in range(3) for j in range(2)]
    out = capsys.readouterr().out
    assert "outer" in out and "inner" not in out


def test_after_an_error_the_next_loop_has_its_bar(capsys):
    with pytest.raises(ZeroDivisionError):
        for i in track(range(2), "broken"):
            1 / i
    assert list(track(range(2), "next")) == [0, 1] and "next" in capsys.readouterr().out
