"""Folders that this process works in, so that no other does: held by locks that the operating system takes back from a process
that ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
POLL = 0.5  # seconds between two looks at a lock that another process holds

_held: dict[Path, FileLock | None] = {}  # None: on a disk that knows no locks


def hold(folder: Path) -> bool:
    """Claims this folder (made if it is not there) for this process; False if another process has it. Again is no error."""
    folder = folder.resolve()
    if folder in _held:
        return True
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    except (OSError, NotImplementedError) as error:
        _without_lock(folder, error)
        _held[folder] = None
        return True
    _held[folder] = lock
    return True


def hold_when_free(folder: Path) -> None:
    """Claims this folder, waiting for as long as another process has it."""
    if hold(folder):
        return
    print(f"waiting: another process is at work in {folder}", flush=True)
    while not hold(folder):
        time.sleep(POLL)


def let_go(folder: Path) -> None:
    lock = _held.pop(folder.resolve(), None)
    if lock is not None:
        lock.release()


def let_all_go() -> None:
    for folder in list(_held):
        let_go(folder)


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """For what takes a moment, and what processes that share this folder do one after the other."""
    with contextlib.ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(folder / LOCK))
        except (OSError, NotImplementedError) as error:
            _without_lock(folder, error)
        yield


def new_folder(wanted: Path) -> Path:
    """Makes this folder, or the first of NAME_2, NAME_3 ... that is not there yet, also if several processes ask at once."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("numbers do not end")


def _without_lock(folder: Path, error: Exception) -> None:
    if isinstance(error, OSError) and error.errno not in NO_LOCKS:
        raise error
    print(
        f"warning: {folder} is on a disk without file locks ({error}): keep other commands from working in it at the same time",
        file=sys.stderr,
        flush=True,
    )
