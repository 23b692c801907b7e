"""Text to train on: files that the user names, or what every Python carries."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterable
from pathlib import Path

from memunlearn.demo.corpus import topics
from memunlearn.errors import UserError
from memunlearn.paths import expanded

# Not the library itself: packages installed into it, its tests, and the module that holds the topics.
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "pydoc_data"}


def standard_library(sources: bool) -> list[str]:
    """The documentation topics of this Python and, if asked for, the sources of its modules in the order of their paths.

    Raises UserError where this Python came without sources.
    """
    if not sources:
        return topics()
    folder = Path(sysconfig.get_path("stdlib"))
    modules = _texts(path for path in folder.rglob("*.py") if not LEFT_OUT & set(path.relative_to(folder).parts))
    if not modules:
        raise UserError(f"{folder} holds no sources of the standard library: give text of your own, --text DIR")
    return topics() + modules


def own_texts(path: str) -> list[str]:
    """The text of a file, or of every file below a folder that is UTF-8, in the order of their paths.

    Raises UserError if there is no such file or folder, or no text in it.
    """
    place = expanded(path)
    if not place.exists():
        raise UserError(f"{place}: no such file or folder: mend --text")
    texts = _texts(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else _texts([place])
    if not texts:
        raise UserError(f"{place}: holds no UTF-8 text: give a text file or a folder of them, --text DIR")
    return texts


def _texts(paths: Iterable[Path]) -> list[str]:
    found = []
    for path in sorted(paths):
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):  # not ours to read, or no text: a picture, say
            continue
        if text.strip():
            found.append(text)
    return found
