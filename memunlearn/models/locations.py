"""Where a name leads: to a folder here, or to the Hugging Face Hub."""

from __future__ import annotations

from memunlearn.errors import UserError
from memunlearn.paths import expanded


def is_local(name: str) -> bool:
    """Whether there is a folder of this name."""
    return expanded(name).is_dir()


def locate(name: str) -> str:
    """The folder if there is one, else the name for the Hub. Raises UserError if it can be neither."""
    path = expanded(name)
    try:
        if path.is_dir():
            return str(path)
        exists = path.exists()
    except OSError as error:
        raise UserError(f"{name}: cannot be looked at ({error.strerror}): give the folder of a checkpoint") from error
    if exists or name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise UserError(f"there is no folder {name}: give the folder of a checkpoint, or a name on the Hub such as org/model")
    return name
