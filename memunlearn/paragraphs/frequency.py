"""How often each token occurs: in the paragraphs themselves, or as a file says."""

from __future__ import annotations

from os import PathLike

import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.paragraphs.array_files import ARRAYS, existing_file, read_array
from memunlearn.paragraphs.token_rows import whole_numbers


def count_tokens(ids: Tensor, vocabulary: int) -> Tensor:
    """Occurrences of each token in ids [N, I]: [V] int64."""
    return torch.bincount(ids.flatten(), minlength=vocabulary)


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
    counts = torch.from_numpy(whole_numbers(values[:, None], [f"{file}:{token}" for token in range(vocabulary)])[:, 0])
    if int(counts.min()) < 0:
        raise UserError(f"{file}:{int(counts.argmin())}: a count of {int(counts.min())} is negative: counts start at 0")
    return counts
