"""Random tokens as unequal as those of text."""

import numpy as np
import torch

VOCABULARY = 300


def text_like(rows, places, rng):
    """[rows, places]: a few tokens make up most of it."""
    share = 1 / np.arange(4, VOCABULARY + 4)
    return torch.from_numpy(rng.permutation(VOCABULARY)[rng.choice(VOCABULARY, (rows, places), p=share / share.sum())])
