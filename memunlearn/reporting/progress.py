"""Progress bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def track(items: Sequence[T], description: str) -> Iterable[T]:
    """The items, with a bar on the terminal while they are used; a single item shows none."""
    from rich.progress import track as rich_track

    return rich_track(items, description) if len(items) > 1 else items
