"""Masks: which weights a run may change, chosen by attribution, at random, or all of them."""

from memunlearn.masks.selection import Mask, select_all, select_random, select_random_matched, select_top
from memunlearn.masks.strategies import AllWeights, MaskStrategy, RandomWeights, TopAttribution

__all__ = [
    "AllWeights",
    "Mask",
    "MaskStrategy",
    "RandomWeights",
    "TopAttribution",
    "select_all",
    "select_random",
    "select_random_matched",
    "select_top",
]
