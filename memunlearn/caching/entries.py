"""One entry of the cache: a folder with its tensors, its key, and the checksums that tell whether it is still what it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from memunlearn.caching.keys import Key, canonical, digest
from memunlearn.files.reading import parse_json

# Raised whenever the files of an entry change, so that an older one is not taken for a damaged one.
LAYOUT = 1
TENSORS = "tensors.safetensors"
RECORD = "entry.json"

Tensors = Mapping[str, Tensor]


class Damaged(Exception):
    """An entry that is not what was written. Its text says what is wrong with it."""


def entry_name(key: Key) -> str:
    """The folder's name: sha256 (hex) of the key."""
    return digest([LAYOUT, key])


def write_entry(folder: Path, key: Key, tensors: Tensors) -> None:
    """Fills a folder that nobody reads yet. Tensors larger than the memory may be memory-mapped ones: they are not copied."""
    folder.mkdir()
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / TENSORS)
    record = {"key": key, "bytes": (folder / TENSORS).stat().st_size, "sha256": _sha256(folder / TENSORS)}
    (folder / RECORD).write_text(json.dumps({**record, "checksum": digest(record)}, indent=1) + "\n")


def read_entry(folder: Path, key: Key) -> Tensors | None:
    """The tensors, on the CPU, memory-mapped from the file (changing them changes no file); None if there is no entry.

    Every byte is checked. Raises Damaged if the entry is not whole, was altered, or belongs to another key.
    """
    if not os.path.lexists(folder):
        return None
    try:
        record = parse_json((folder / RECORD).read_text("utf-8"))
        if not isinstance(record, dict) or record.pop("checksum", None) != digest(record):
            raise Damaged(f"{RECORD} was altered")
        if canonical(record["key"]) != canonical(key):
            raise Damaged(f"{RECORD} has another key")
        size = (folder / TENSORS).stat().st_size
        if size != record["bytes"]:
            raise Damaged(f"{TENSORS} has {size} bytes instead of {record['bytes']}")
        if _sha256(folder / TENSORS) != record["sha256"]:
            raise Damaged(f"{TENSORS} was altered")
        return load_file(folder / TENSORS)
    except OSError as error:
        raise Damaged(f"{Path(error.filename or folder).name}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, SafetensorError) as error:  # not UTF-8, not JSON, or of another make
        raise Damaged(f"it cannot be read: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
