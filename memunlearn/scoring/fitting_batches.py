"""Batches that fit into memory: where one does not, it and those after it are half as large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from memunlearn.errors import is_out_of_memory

Given = TypeVar("Given")


@dataclass
class FittingBatches:
    """size: rows a pass, at most."""

    size: int

    def read(self, rows: Tensor, read: Callable[[Tensor], Given]) -> list[Given]:
        """What `read` gives for these row numbers, as many at a time as fit. One row that does not fit raises as it does."""
        given: list[Given] = []
        while len(rows):
            few = rows[: self.size]
            try:
                given.append(read(few))
                rows = rows[len(few) :]
            except Exception as error:
                if len(few) == 1 or not is_out_of_memory(error):
                    raise
                self.size = len(few) // 2
            else:
                continue
            # Not before the error is gone, which holds what it was raised among.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            print(f"out of memory with {len(few)} rows a pass: going on with {self.size}", flush=True)
        return given
