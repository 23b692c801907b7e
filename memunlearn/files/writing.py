"""Files and folders that appear whole or not at all: made under another name in the same folder, then renamed.

What a killed process leaves behind is told from what a living one is writing by a lock that the operating system takes back.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import fcntl
except ImportError:  # Windows, which does not let anyone remove a file that is open
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import pyarrow

TEMPORARY = ".tmp-"


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what was written there takes its place on success, and is removed on any error.

    The temporary name keeps the suffix, since some writers look at it. Missing folders are made.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(target)
    with _in_use(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)):
        try:
            yield temporary
            # Without this a power cut after the rename can leave an empty file under the final name.
            _to_disk(temporary)
            os.replace(temporary, target)
            _to_disk(target.parent)
        except OSError as error:
            if error.filename is None and error.errno is not None:  # of a full disk: a write does not know the name
                error.filename = str(target)
            raise
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The same for a whole folder; `path` must be free, or an empty folder. Raises OSError where it is neither."""
    target = Path(path)
    with temporary_folder(target) as temporary:
        yield temporary
        for file in temporary.rglob("*"):
            _to_disk(file)
        os.replace(temporary, target)
        _to_disk(target.parent)


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside `target`, which is removed in the end unless it was renamed. Missing folders are made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(target)
    temporary.mkdir()
    try:
        with _in_use(os.open(temporary, os.O_RDONLY)):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_name(target: Path) -> Path:
    """A new name beside `target`, which `remove_leftovers` knows."""
    return target.with_name(f"{TEMPORARY}{uuid.uuid4().hex}-{target.name}")


def remove_folder(path: str | os.PathLike[str]) -> None:
    """Its name is free at once: a kill on the way leaves no part of the folder under it."""
    if not os.path.lexists(path):
        return
    condemned = temporary_name(Path(path))
    os.rename(path, condemned)
    shutil.rmtree(condemned)


def remove_leftovers(folder: Path, depth: int = 1) -> None:
    """Removes what killed processes have left half-written in this folder, and in the folders so many levels below it."""
    try:
        entries = list(os.scandir(folder))
    except OSError:  # not there, or not ours to look into
        return
    for entry in entries:
        if entry.name.startswith(TEMPORARY):
            _remove_unused(Path(entry.path))
        elif depth and entry.is_dir(follow_symlinks=False):
            remove_leftovers(Path(entry.path), depth - 1)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes text as UTF-8; what UTF-8 cannot hold (lone surrogates) becomes a question mark."""
    write_bytes(path, text.encode("utf-8", errors="replace"))


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes these bytes."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: str | os.PathLike[str], data: Any) -> None:
    """Writes strict JSON; numbers that are not finite become null. Raises TypeError for what JSON cannot hold."""
    write_text(path, json.dumps(finite_or_null(data), indent=2, allow_nan=False) + "\n")


def write_parquet(path: str | os.PathLike[str], columns: dict[str, list[Any]] | pyarrow.Table) -> None:
    """Writes a table, or columns of equal length by name. Raises pyarrow.ArrowInvalid where lengths or types do not agree."""
    import pyarrow
    import pyarrow.parquet

    table = columns if isinstance(columns, pyarrow.Table) else pyarrow.table(columns)
    # Of a path pyarrow wants UTF-8, of a file nothing.
    with replacing(path) as temporary, open(temporary, "wb") as file:
        pyarrow.parquet.write_table(table, file)


def finite_or_null(data: Any) -> Any:
    """The same nested dicts and lists with None for every NaN and infinity."""
    if isinstance(data, dict):
        return {key: finite_or_null(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite_or_null(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data


@contextmanager
def _in_use(handle: int) -> Iterator[None]:
    """Locks an open file or folder while it is written, and closes it."""
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Whether the lock was had. Not where another process has it, nor on a disk that knows no locks."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_unused(path: Path) -> None:
    with contextlib.suppress(OSError):  # removed by another process at the same time, or not ours
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        try:
            if _lock(handle):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        finally:
            os.close(handle)


def _to_disk(path: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems know it for files only
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
