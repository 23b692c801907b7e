"""What a model says, beside the true text. Needs no torch of its own: tensors bring their methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ALIKE = 0.75  # of 1: an approximate match
LONGEST_GRAM = 4


def levenshtein(one: Tensor, other: Tensor) -> Tensor:
    """Edit distance in tokens (insertions, deletions, replacements): [N, A] and [N, B] -> [N] int64, 0..max(A, B)."""
    places = one.new_ones(other.shape[1] + 1).cumsum(0) - 1
    distance = places.expand(len(one), -1)  # [n, j]: from the tokens of `one` so far to the first j of `other`
    for read, token in enumerate(one.unbind(1), 1):
        replaced = distance[:, :-1] + (token.unsqueeze(1) != other)
        best = distance + 1  # the token is left out
        best[:, 0] = read
        best[:, 1:] = best[:, 1:].minimum(replaced)
        # Tokens of `other` put in: the best of all shorter ones, plus one for each token between.
        distance = (best - places).cummin(1).values + places
    return distance[:, -1]


def similarity(one: Tensor, other: Tensor) -> Tensor:
    """1 - edit distance / C, of texts [N, C] both: [N] fp64, 0..1."""
    alike: Tensor = 1 - levenshtein(one, other).double() / other.shape[1]
    return alike


def distinct_grams(said: Tensor) -> Tensor:
    """The share of a text's n-grams that are different ones, averaged over n = 1..4: token ids [N, C] -> [N] fp64, 0..1.

    Low where a model repeats itself (Li et al. 2016, arXiv 1510.03055, distinct-1 and distinct-2). Where C < 4, n = 1..C.
    """
    longest = min(LONGEST_GRAM, said.shape[1])
    total = said.new_zeros(len(said)).double()
    for n in range(1, longest + 1):
        grams = said.unfold(1, n, 1).tolist()
        different = said.new_tensor([len(set(map(tuple, of_row))) for of_row in grams])
        total += different.double() / (said.shape[1] - n + 1)
    return total / longest
