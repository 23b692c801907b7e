"""Drops against the frequency of what is replaced: what was made by hand is found, and where nothing is, hardly anything."""

from types import SimpleNamespace

import numpy as np
import pytest
from text_like import VOCABULARY, text_like

from memunlearn.analyses.token_perturbation.compare import link_drops
from memunlearn.paragraphs.frequency import count_tokens


def drops_of(rng, follows=0.0):
    """Rows whose drop in EM depends on the token that is replaced, by its type and (where it follows) by its frequency."""
    prefixes = text_like(60, 15, rng)
    frequency = count_tokens(prefixes, VOCABULARY).double().numpy()
    liked = rng.normal(size=VOCABULARY) - follows * np.log(np.maximum(frequency, 1))
    drops = liked[prefixes] + rng.normal(size=prefixes.shape)
    drops[:, 0] = np.nan
    set_of = np.repeat(["memorized", "non-memorized"], 30)
    perturbed = SimpleNamespace(
        paragraphs=SimpleNamespace(prefixes=prefixes),
        em_drop=drops,
        frequency=frequency[prefixes],
        clusters=np.arange(60),
        of=lambda name: set_of == name,
        within={name: np.flatnonzero(set_of == name) for name in np.unique(set_of)},
    )
    return link_drops(perturbed, 99, 0)


def test_drops_that_follow_rarity_are_found():
    for one in drops_of(np.random.default_rng(4), follows=0.7).values():
        assert one.tau < -0.1 and one.p < 0.05


@pytest.mark.slow
def test_drops_that_do_not_follow_frequency_are_hardly_ever_linked():
    false = sum(min(one.p for one in drops_of(np.random.default_rng(seed)).values()) < 0.05 for seed in range(100))
    assert false <= 9
