"""Preparations of the tiny model that recites; made anew for each test, since its states hold the model's head."""

from functools import partial

import pytest

from memunlearn.scoring.alternatives import find_alternatives
from memunlearn.unlearning.preparation import prepare


@pytest.fixture
def preparation(reciting, sets):
    return prepare(reciting, sets, batch_size=8)


@pytest.fixture
def editing(reciting, sets):
    return prepare(reciting, sets, partial(find_alternatives, seed=4, batch_size=16), batch_size=8)
