"""A folder of entries, each computed once: by whoever needs it first, for every process that needs it later.

An entry appears whole or not at all: it is made in a folder beside its place and renamed, under a lock that the operating
system takes back from a process that is killed.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from memunlearn.caching.entries import Damaged, Tensors, entry_name, read_entry, write_entry
from memunlearn.caching.keys import Key
from memunlearn.files.writing import remove_folder, remove_leftovers, temporary_folder

Value = TypeVar("Value")


@dataclass(frozen=True)
class Store:
    """directory: where the entries lie; made at first use. reused: the names of what was found there, in order."""

    directory: Path
    reused: list[str] = field(default_factory=list)

    def place(self, key: Key) -> Path:
        """The folder of the entry with this key, whether or not it is there."""
        return self.directory / entry_name(key)


def cached(
    store: Store | None,
    name: str,
    key: Key,
    *,
    make: Callable[[Path | None], Value],
    pack: Callable[[Value], Tensors],
    unpack: Callable[[Tensors], Value],
) -> Value:
    """unpack(the store's entry with this key); where there is none, make(a folder for large files) is packed and kept first.

    name: for messages. store None: make(None), nothing is kept. A damaged entry is said, removed and made again. A store that
    cannot be written is said and gone without. What `make` raises is passed on, and leaves no entry.
    """
    if store is None:
        return make(None)
    place = store.place(key)
    # Without the lock first, so that a store on a read-only disk can be used: a rename is all or nothing.
    with contextlib.suppress(Damaged):
        if (tensors := read_entry(place, key)) is not None:
            store.reused.append(name)
            return unpack(tensors)
    with contextlib.ExitStack() as held:
        try:
            store.directory.mkdir(parents=True, exist_ok=True)
            remove_leftovers(store.directory, depth=0)
            held.enter_context(_locked(place, name))
            if (tensors := _still_good(place, key, name)) is not None:
                store.reused.append(name)
                return unpack(tensors)
            unfinished = held.enter_context(temporary_folder(place))
        except (OSError, NotImplementedError) as error:  # the latter from filelock, where the disk knows no locks
            _go_without(store, name, error)
            return make(None)
        value = make(unfinished)
        try:
            write_entry(unfinished / "entry", key, pack(value))
            os.replace(unfinished / "entry", place)
            kept = read_entry(place, key)
        except (OSError, SafetensorError, Damaged) as error:
            _go_without(store, name, error)
            return value
        return value if kept is None else unpack(kept)


@contextlib.contextmanager
def _locked(place: Path, name: str) -> Iterator[None]:
    lock = FileLock(f"{place}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"cache: waiting for another process that computes the {name}", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _still_good(place: Path, key: Key, name: str) -> Tensors | None:
    """What another process has made in the meantime; removes a damaged entry, and says so."""
    try:
        return read_entry(place, key)
    except Damaged as damage:
        print(f"cache: the {name} in {place} is damaged ({damage}): computing it again", file=sys.stderr, flush=True)
        if place.is_dir() and not place.is_symlink():
            remove_folder(place)
        else:
            place.unlink()
        return None


def _go_without(store: Store, name: str, error: Exception) -> None:
    print(f"cache: the {name} cannot be kept in {store.directory} ({error}): going on without", file=sys.stderr, flush=True)
