"""How often each token occurs: in the paragraphs themselves, or as a file says."""

from __future__ import annotations

from os import PathLike

import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.paragraphs.array_files import read_array
from memunlearn.paragraphs.clusters import cluster_shares
from memunlearn.paragraphs.given_files import ARRAYS, existing_file
from memunlearn.paragraphs.id_rows import whole_numbers

# Of mean counts: what rounding leaves of equal ones (49 times 1/49, and 1) must stay equal.
DECIMALS = 6


def count_tokens(ids: Tensor, vocabulary: int, clusters: Tensor | None = None) -> Tensor:
    """Occurrences of each token in ids [N, I]: [V] int64.

    clusters: [N] labels; with them a cluster of near-duplicates counts once, with the mean over its rows: [V] fp64.
    """
    if clusters is None:
        return torch.bincount(ids.flatten(), minlength=vocabulary)
    shares = torch.from_numpy(cluster_shares(clusters.numpy()))
    counts = torch.bincount(ids.flatten(), shares.repeat_interleave(ids.shape[1]), minlength=vocabulary)
    return counts.round(decimals=DECIMALS)


def read_token_counts(path: str | PathLike[str], vocabulary: int) -> Tensor:
    """[V] int64 from a `.npy` or `.pt` file of V counts, in the order of the token ids.

    Raises UserError for a missing or unreadable file, another length than V, and counts that are negative or not whole.
    """
    file = existing_file(path, ARRAYS, "token counts")

    def check(shape: tuple[int, ...]) -> None:
        if shape != (vocabulary,):
            raise UserError(
                f"{file}: holds {list(shape)} numbers, but the model knows {vocabulary} tokens: give a count for each"
            )

    values = read_array(file, check)
    if values.dtype.kind in "if" and (values < 0).any():
        place = int(values.argmin())
        raise UserError(f"{file}:{place}: a count of {values[place]:.0f} is negative: counts start at 0")
    return torch.from_numpy(whole_numbers(values[:, None], [f"{file}:{token}" for token in range(vocabulary)])[:, 0])
