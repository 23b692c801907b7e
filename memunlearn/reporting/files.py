"""Files that appear whole or not at all: written under another name in the same folder, then renamed."""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what was written there takes its place on success, and is removed on any error.

    The temporary name keeps the suffix, since some writers look at it. Missing folders are made.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".tmp-{uuid.uuid4().hex}-{target.name}")
    try:
        yield temporary
        # Without this a power cut after the rename can leave an empty file under the final name.
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


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


def write_parquet(path: str | os.PathLike[str], columns: dict[str, list] | pyarrow.Table) -> None:
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
