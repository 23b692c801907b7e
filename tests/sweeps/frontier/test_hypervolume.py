"""The dominated volume: by hand, against counting random points, and what it must not depend on."""

import random
from itertools import pairwise

import pytest

from memunlearn.sweeps.frontier.hypervolume import hypervolume, place, volume_of
from memunlearn.sweeps.frontier.read import Point


@pytest.mark.parametrize(
    ("points", "volume"),
    [
        ([], 0.0),
        ([(0.0, 0.0, 0.0)], 1.0),
        ([(0.5, 0.5, 0.5)], 0.125),
        ([(0.5, 0.5, 0.5)] * 3, 0.125),
        ([(0.5, 0.5, 0.5), (0.6, 0.7, 0.5)], 0.125),  # the second is dominated
        ([(0.0, 0.5, 0.5), (0.5, 0.0, 0.5)], 0.375),  # 2 x .25 - .125
        ([(0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)], 0.5),  # by inclusion and exclusion: 3 x .25 - 3 x .125 + .125
        ([(1.0, 0.0, 0.0), (0.2, 1.3, 0.1)], 0.0),  # nothing is better than the reference in all three
    ],
)
def test_by_hand(points, volume):
    assert hypervolume(points) == pytest.approx(volume)


@pytest.mark.parametrize("number", [1, 2, 7, 30])
@pytest.mark.parametrize("coarse", [False, True], ids=["fine", "with ties"])
def test_it_is_the_share_of_random_points_that_are_dominated(number, coarse):
    draw = random.Random(number)
    points = [tuple(round(draw.random(), 1) if coarse else draw.random() for _ in range(3)) for _ in range(number)]
    samples = [(draw.random(), draw.random(), draw.random()) for _ in range(20_000)]
    hits = sum(any(all(a <= b for a, b in zip(point, sample, strict=True)) for point in points) for sample in samples)
    assert hypervolume(points) == pytest.approx(hits / len(samples), abs=0.015)


def test_neither_the_order_of_points_nor_of_coordinates_matters_and_more_points_take_nothing_away():
    draw = random.Random(5)
    points = [(draw.random(), draw.random(), draw.random()) for _ in range(12)]
    volume = hypervolume(points)
    assert hypervolume(points[::-1]) == pytest.approx(volume)
    assert hypervolume([(z, x, y) for x, y, z in points]) == pytest.approx(volume)
    sizes = [hypervolume(points[:number]) for number in range(len(points) + 1)]
    assert all(less <= more + 1e-12 for less, more in pairwise(sizes)) and sizes[-1] > sizes[1] > 0


def test_another_reference():
    assert hypervolume([(1.0, 1.0, 1.0)], (2.0, 3.0, 4.0)) == pytest.approx(6.0)


def test_a_state_s_place_in_the_cube():
    assert place(Point(3, 5.0, 9.0, 0.1, 40.0), 50) == pytest.approx((0.1, 0.2, 0.2))
    assert place(Point(3, 5.0, 9.0, 7.0, 50.0), 50) == pytest.approx((0.1, 0.0, 1.0))  # worse than the worst is the worst


def test_the_base_model_dominates_nothing_and_the_ideal_everything():
    base, ideal, halfway = Point(0, 50.0, 50.0, 0.0, 50.0), Point(9, 0.0, 0.0, 0.0, 50.0), Point(5, 25.0, 25.0, 0.25, 25.0)
    assert volume_of([base], 50) == 0.0 and volume_of([base, ideal], 50) == 1.0
    assert volume_of([base, halfway], 50) == pytest.approx(0.125)
