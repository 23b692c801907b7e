"""Progress bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
_shown: list[str] = []


def track(items: Sequence[T], description: str) -> Iterable[T]:
    """The items, with a bar on the terminal while they are used; a single item shows none, and neither do steps of a step."""
    return _with_bar(items, description) if len(items) > 1 and not _shown else items


def _with_bar(items: Sequence[T], description: str) -> Iterator[T]:
    from rich.progress import track as rich_track

    _shown.append(description)
    try:
        yield from rich_track(items, description)
    finally:
        _shown.remove(description)
