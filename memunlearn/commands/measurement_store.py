"""Where what is measured on base models is kept."""

from __future__ import annotations

from collections import Counter

from memunlearn.caching.store import Store
from memunlearn.files.writing import remove_leftovers
from memunlearn.paragraphs.download import cache_root


def open_store(wanted: bool) -> Store | None:
    """The user's store (the config's `cache`), or None. What killed processes left half-written in the cache goes."""
    if not wanted:
        return None
    store = Store(cache_root() / "computed")
    remove_leftovers(cache_root(), depth=0)
    remove_leftovers(store.directory, depth=0)
    return store


def print_reused(store: Store | None) -> None:
    """One line that says what was not computed in this run, if anything."""
    if store is not None and store.reused:
        counts = Counter(store.reused)
        print("reused from the cache: " + ", ".join(f"{name} ({n})" for name, n in counts.items()), flush=True)
