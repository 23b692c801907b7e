"""What an earlier command left in a folder, and whether this one would lose it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from memunlearn.commands.sweep_folder import EVALUATION, LOCALIZATION, RESULT, content
from memunlearn.errors import UserError

COMMANDS = {RESULT: "train.py", EVALUATION: "evaluate.py", LOCALIZATION: "localize.py"}
# Settings of localize.py that decide how its findings are made, but not what they are; its analyses are compared one by one.
NOT_FINDINGS = ("analysis", "batch_size", "accelerator", "logger")
NAMED_AT_MOST = 3


def check_earlier(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raises UserError if the folder holds a result of another command, or of this one with other settings.

    settings: the resolved config. The same once more loses nothing: train.py says that it is complete, evaluate.py measures
    again, localize.py adds analyses.
    """
    for name, command in COMMANDS.items():
        path = folder / name
        if not path.is_file():
            continue
        kept = _config(path)
        if kept is None:
            other = "which cannot be read"
        else:
            old, new = content(kept), content(settings)
            if name == LOCALIZATION:
                old, new = _findings(old, new)
            names = sorted(set(_different(old, new)))
            if not names:
                continue
            more = ", ..." if len(names) > NAMED_AT_MOST else ""
            other = f"with other settings ({', '.join(names[:NAMED_AT_MOST])}{more})"
        raise UserError(
            f"{path} is there already, of {command} {other}: choose another hydra.run.dir, or replace it with overwrite=true"
        )


def remove_earlier(folder: Path) -> None:
    """With overwrite=true: what says that something in this folder is complete goes before work starts."""
    for name in COMMANDS:
        (folder / name).unlink(missing_ok=True)


def is_complete(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether train.py has finished in this folder with these settings."""
    kept = _config(folder / RESULT)
    return kept is not None and content(kept) == content(settings)


def _config(path: Path) -> dict[str, Any] | None:
    """The config in a result; None where there is none that can be read."""
    try:
        config = json.loads(path.read_text("utf-8"))["config"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return config if isinstance(config, dict) else None


def _findings(old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both without what a finding does not depend on, and without the analyses that are in one of them only."""
    kept = [{key: value for key, value in one.items() if key not in NOT_FINDINGS} for one in (old, new)]
    analyses: list[dict[str, Any]] = [dict(one.get("analysis") or {}) for one in (old, new)]
    for one, own, other in zip(kept, analyses, reversed(analyses), strict=True):
        one["analysis"] = {name: value for name, value in own.items() if name in other}
    return kept[0], kept[1]


def _different(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """The dotted names of settings that are not the same."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from _different(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
    elif old != new:
        yield name
