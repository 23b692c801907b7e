"""What an earlier command left in a folder, and whether this one would lose it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from memunlearn.commands.call import INSTALLED, WITH_SCRIPTS
from memunlearn.commands.input_files import changed_inputs
from memunlearn.commands.sweep_folder import EVALUATION, FOUND, LOCALIZATION, RESULT, TAKEDOWN, content
from memunlearn.errors import UserError
from memunlearn.files.reading import parse_json

COMMANDS = {RESULT: "train", EVALUATION: "evaluate", LOCALIZATION: "localize", FOUND: "find", TAKEDOWN: "takedown"}
KEPT = (RESULT, FOUND, TAKEDOWN)
"""What is not done again where it is complete, nor lost to other settings."""
NAMED_AT_MOST = 3


def check_earlier(folder: Path, settings: Mapping[str, Any], running: str) -> None:
    """Raises UserError if the folder holds a run of train.py, find or takedown with other settings or input files, or another
    command's result.

    settings: the resolved config. running: the command that runs now, such as "train". What evaluate.py and localize.py
    found is cheap to have again: they replace, or go on with, what they left themselves.
    """
    for name, command in COMMANDS.items():
        path = folder / name
        if not path.is_file() or (command == running and name not in KEPT):
            continue
        result = _read(path)
        if result is None:
            other = "which cannot be read"
        else:
            names = sorted(set(_different(content(result["config"]), content(settings))))
            changed = changed_inputs(result.get("inputs") or {}, settings)
            if not names and not changed:
                continue
            shown = ", ".join((names or changed)[:NAMED_AT_MOST]) + ", ..." * (len(names or changed) > NAMED_AT_MOST)
            other = f"with other settings ({shown})" if names else f"made from files that have changed since ({shown})"
        raise UserError(
            f"{path} is there already, of {_called(command)} {other}: choose another hydra.run.dir, or replace it with "
            "overwrite=true"
        )


def remove_earlier(folder: Path) -> None:
    """With overwrite=true: what says that something in this folder is complete goes before work starts."""
    for name in COMMANDS:
        (folder / name).unlink(missing_ok=True)


def is_complete(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether train.py, find or takedown has finished in this folder with these settings."""
    results = [_read(folder / name) for name in KEPT]
    return any(result is not None and content(result["config"]) == content(settings) for result in results)


def _called(command: str) -> str:
    return f"{command}.py" if command in WITH_SCRIPTS else INSTALLED.format(command)


def _read(path: Path) -> dict[str, Any] | None:
    """A result with a config; None where there is none that can be read."""
    try:
        result = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and isinstance(result.get("config"), dict) else None


def _different(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """The dotted names of settings that are not the same."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from _different(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
    elif old != new:
        yield name
