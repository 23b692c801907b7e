"""What the modules of a model are given and give, a row of tokens at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@contextmanager
def as_rows(model: nn.Module) -> Iterator[Callable[[Tensor], Tensor]]:
    """A function from what a module of the model sees in the current pass to [B, T, features]: itself, or a view of it.

    OPT lays the rows of a batch end to end before its MLPs.
    """
    rows = 0

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal rows
        rows = output.shape[0]

    embeddings = cast("PreTrainedModel", model).get_input_embeddings()
    handle = embeddings.register_forward_hook(note)
    try:
        yield lambda values: values if values.ndim == 3 else values.unflatten(0, (rows, -1))
    finally:
        handle.remove()
