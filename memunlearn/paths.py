"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path

from memunlearn.errors import UserError


def expanded(path: object) -> Path:
    """The path, `~` and `~name` replaced by that user's home; a name that is all digits may come as a number.

    Raises UserError where there is no such user or no home.
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else str(path)
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        here = f"./{text}"
        raise UserError(f"{text}: there is no home folder of that name here: write the whole path, or {here}") from error
