"""Losses of a side's rows, some rows at a time: the logits [B, C, V] of all of them never lie in memory together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from memunlearn.objectives.losses import token_kl, token_nll
from memunlearn.objectives.material import Side

LOGITS_AT_ONCE = 2**24
"""Of one model, where a row has fewer. A loss takes a few times as much in fp32 for a moment."""

RowLosses = Callable[[Side], tuple[Tensor, ...]]
"""Of some rows of a side, numbers of each row [B]: first the one that is differentiated, then what is only shown."""


def rows_at_once(logits_a_row: int, at_once: int = LOGITS_AT_ONCE) -> int:
    """How many rows are dealt with together: one at least."""
    return max(1, at_once // max(1, logits_a_row))


def by_rows(losses: RowLosses, side: Side, at_once: int = LOGITS_AT_ONCE) -> tuple[Tensor, ...]:
    """losses(side), [B] each, as if it were called with all rows together; a row's numbers must depend on no other row.

    The first can be differentiated, once, and by the side's final states only: the head is never trained. Its gradient by a
    row's states, [C, D], is found while the row's logits are there and waits for what it is multiplied with (as in
    Hsu et al. 2024, arXiv 2410.10989, section 3.2): no head product is made again.
    """
    if torch.is_grad_enabled() and side.states.requires_grad:
        numbers: tuple[Tensor, ...] = _ByRows.apply(side.states, side, losses, at_once)  # type: ignore[no-untyped-call]
        return numbers
    with torch.no_grad():
        return _joined([losses(part) for part in _parts(side, at_once, trained=False)])


def row_nll(side: Side) -> tuple[Tensor]:
    """NLL, a mean over the row's tokens: [B]."""
    return (token_nll(side.logits, side.labels).mean(1),)


def row_kl(side: Side) -> tuple[Tensor]:
    """KL(base || current), a mean over the row's tokens: [B]."""
    return (token_kl(side.base_logits, side.logits).mean(1),)


def row_nll_and_kl(side: Side) -> tuple[Tensor, ...]:
    """NLL, and KL(base || current) to be shown, means over the row's tokens: [B] each."""
    return token_nll(side.logits, side.labels).mean(1), token_kl(side.base_logits, side.logits.detach()).mean(1)


def mean_nll(side: Side) -> Tensor:
    """Over rows and tokens: a scalar, nats per token."""
    return by_rows(row_nll, side)[0].mean()


def mean_kl(side: Side) -> Tensor:
    """KL(base || current) over rows and tokens: a scalar, nats per token."""
    return by_rows(row_kl, side)[0].mean()


def _parts(side: Side, at_once: int, *, trained: bool) -> Iterator[Side]:
    """The side's rows in their order, on their own: their states are leaves of a graph where they are trained."""
    count, length, _ = side.states.shape
    size = rows_at_once(length * side.vocabulary, at_once)
    for start in range(0, count, size):
        rows = slice(start, start + size)
        yield side.part(rows, side.states[rows].detach().requires_grad_(trained))


def _joined(parts: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


class _ByRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, side: Side, losses: RowLosses, at_once: int) -> tuple[Tensor, ...]:
        parts: list[tuple[Tensor, ...]] = []
        gradients: list[Tensor] = []
        for part in _parts(side, at_once, trained=True):
            with torch.enable_grad():
                numbers = losses(part)
            # Backward passes are made outside of autocast.
            with torch.autocast(states.device.type, enabled=False):
                gradients += torch.autograd.grad(numbers[0], part.states, torch.ones_like(numbers[0]))
            parts.append(tuple(number.detach() for number in numbers))
            del part, numbers  # the next part's logits take their place
        joined = _joined(parts)
        ctx.save_for_backward(torch.cat(gradients))
        ctx.mark_non_differentiable(*joined[1:])
        return joined

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        (gradients,) = ctx.saved_tensors
        return (gradients * above[0].to(gradients.dtype).view(-1, 1, 1)), None, None, None
