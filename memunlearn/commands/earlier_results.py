"""What an earlier command left in a folder, and whether this one would lose it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from memunlearn.commands.input_files import changed_inputs
from memunlearn.commands.sweep_folder import EVALUATION, LOCALIZATION, RESULT, content
from memunlearn.errors import UserError
from memunlearn.reporting.reading import parse_json

COMMANDS = {RESULT: "train.py", EVALUATION: "evaluate.py", LOCALIZATION: "localize.py"}
# Settings of localize.py that decide how its findings are made, but not what they are; its analyses are compared one by one.
NOT_FINDINGS = ("analysis", "batch_size", "accelerator", "logger")
NAMED_AT_MOST = 3


def check_earlier(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raises UserError if the folder holds a result of another command, or of this one with other settings or input files.

    settings: the resolved config. The same once more loses nothing: train.py says that it is complete, evaluate.py measures
    again, localize.py adds analyses.
    """
    for name, command in COMMANDS.items():
        path = folder / name
        if not path.is_file():
            continue
        result = _read(path)
        if result is None:
            other = "which cannot be read"
        else:
            old, new = content(result["config"]), content(settings)
            if name == LOCALIZATION:
                old, new = _findings(old, new)
            names = sorted(set(_different(old, new)))
            changed = changed_inputs(result.get("inputs") or {}, settings)
            if not names and not changed:
                continue
            shown = ", ".join((names or changed)[:NAMED_AT_MOST]) + ", ..." * (len(names or changed) > NAMED_AT_MOST)
            other = f"with other settings ({shown})" if names else f"made from files that have changed since ({shown})"
        raise UserError(
            f"{path} is there already, of {command} {other}: choose another hydra.run.dir, or replace it with overwrite=true"
        )


def remove_earlier(folder: Path) -> None:
    """With overwrite=true: what says that something in this folder is complete goes before work starts."""
    for name in COMMANDS:
        (folder / name).unlink(missing_ok=True)


def is_complete(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether train.py has finished in this folder with these settings."""
    result = _read(folder / RESULT)
    return result is not None and content(result["config"]) == content(settings)


def _read(path: Path) -> dict[str, Any] | None:
    """A result with a config; None where there is none that can be read."""
    try:
        result = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and isinstance(result.get("config"), dict) else None


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
