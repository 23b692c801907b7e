"""One run read where runs are matched, against a plain search."""

import random

import pytest

from memunlearn.sweeps.frontier.matched import at_disruption, at_forgetting
from memunlearn.sweeps.frontier.plan import Target
from memunlearn.sweeps.frontier.read import Point

RUN = [
    Point(0, 50.0, 50.0, 0.0, 50.0),
    Point(5, 30.0, 40.0, 0.02, 49.0),
    Point(10, 4.0, 12.0, 0.06, 47.0),
    Point(15, 5.0, 10.0, 0.05, 46.0),
    Point(20, 2.0, 4.0, 0.2, 40.0),
]


def test_forgotten_is_the_first_check_with_both():
    assert at_forgetting(RUN, Target(5, 10)).step == 15  # at step 10 a long run is left
    assert at_forgetting(RUN, Target(5, 12)).step == 10
    assert at_forgetting(RUN, Target(3, 5)).step == 20
    assert at_forgetting(RUN, Target(1, 50)) is None and at_forgetting([], Target(50, 50)) is None


def test_disruption_takes_what_is_most_forgotten_within_the_level():
    assert [at_disruption(RUN, level).step for level in (0.0, 0.02, 0.05, 0.06, 1.0)] == [0, 5, 15, 10, 20]
    assert at_disruption(RUN[1:], 0.01) is None


def test_of_equally_forgotten_states_the_cheaper_one():
    tied = [Point(1, 7.0, 9.0, 0.04, 50.0), Point(2, 7.0, 9.0, 0.03, 50.0), Point(3, 7.0, 9.0, 0.035, 50.0)]
    assert at_disruption(tied, 0.05).step == 2


@pytest.mark.parametrize("seed", range(5))
def test_against_a_plain_search(seed):
    draw = random.Random(seed)
    points = [Point(step, draw.uniform(0, 50), draw.uniform(0, 50), draw.uniform(0, 0.3), 40.0) for step in range(30)]
    for em, run in ((10, 20), (30, 30), (2, 2)):
        expected = None
        for point in points:
            if expected is None and point.forget_em <= em and point.longest_run <= run:
                expected = point
        assert at_forgetting(points, Target(em, run)) is expected
    for level in (0.0, 0.05, 0.2):
        within = sorted((point.forget_em, point.step) for point in points if point.retain_kl <= level)
        found = at_disruption(points, level)
        assert (None if found is None else found.step) == (within[0][1] if within else None)
