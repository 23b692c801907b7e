"""What stands in the files that a config names: the same names with other content are another run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from memunlearn.errors import UserError
from memunlearn.paragraphs.given_files import given_files
from memunlearn.paragraphs.retain_text import files_of

# The settings that name a file or a folder of which a run is made. Names on the Hub are no files: `revision` holds them fast.
NAME_FILES = (
    "model.name_or_path",
    "model.tokenizer",
    "paragraphs.path",
    "paragraphs.forget",
    "paragraphs.bystander",
    "paragraphs.retain",
    "paragraphs.protected",
    "paragraphs.data_files",
    *("texts", "retain", "bystander", "protected"),  # of takedown
)
# In a model's folder: its config, weights and tokenizer; a note to its readers is not part of it.
OF_A_MODEL = (".json", ".safetensors", ".bin", ".txt", ".model", ".jinja")


def input_digests(config: Mapping[str, Any]) -> dict[str, str]:
    """sha256 (hex) of what each of NAME_FILES names in a resolved config, where that is a local file or folder; by setting.

    A file that did not change is read once in a process.
    """
    digests = {}
    for setting in NAME_FILES:
        of_model = setting.startswith("model.")
        value = _select(config, setting)
        named = files_of(value) if setting in ("paragraphs.retain", "retain") else value
        files = [file for path in _paths(named) for file in _files(path, of_model)]
        if files:
            digests[setting] = hashlib.sha256(" ".join(_digest_of_file(*file) for file in files).encode()).hexdigest()
    return digests


def changed_inputs(before: Mapping[str, str], config: Mapping[str, Any]) -> list[str]:
    """The settings whose files are there, but are not what they were when `before` was their `input_digests`."""
    now = input_digests(config)
    return sorted(name for name in before if name in now and now[name] != before[name])


def _select(config: Mapping[str, Any], setting: str) -> Any:
    value: Any = config
    for name in setting.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _paths(value: Any) -> Iterator[Path]:
    """Of a name, or of names in lists and mappings; a name that is all digits may be a number."""
    if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
        yield Path(os.path.expanduser(str(value)))  # which leaves the name of a user that there is not
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _paths(part)


def _files(path: Path, of_model: bool) -> list[tuple[Path, str]]:
    """Files, and what they are called there: of a folder those that are read, by their paths within it."""
    try:
        if not path.is_dir():
            return [(path, path.name)] if path.is_file() else []
        if of_model:
            return [(file, file.name) for file in sorted(path.iterdir()) if file.suffix in OF_A_MODEL and file.is_file()]
        return [(file.path, file.name) for file in given_files(path).files]
    except UserError:  # a folder that is refused when it is read, which says why
        return []
    except (OSError, ValueError):  # no name that a disk could hold, such as one that is too long: of the Hub, or a mistake
        return []


def _digest_of_file(path: Path, name: str) -> str:
    state = path.stat()
    return f"{name}:{_sha256(path, state.st_size, state.st_mtime_ns)}"


@lru_cache(maxsize=1024)
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
