"""What a config that someone else wrote may name: classes that this project's own configs offer, and those allowed by name.

`hydra.utils.instantiate` calls whatever `_target_` says. A config in conf/ or on the command line is the person's own; one that
lies in a run's folder or in a patch may be a stranger's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from memunlearn.errors import UserError
from memunlearn.passwords import without_passwords
from memunlearn.results.old_names import TARGET

NOT_GROUPS = ("hydra", "experiment")
REFERENCE = re.compile(r"\$\{(\w+)\}")


def check_offered(config: Mapping[str, Any], file: Path, folders: Collection[Path], allowed: Collection[str] = ()) -> None:
    """Raises UserError where a config from this file names a class that is not offered in that place, or refers to anything
    with `${...}`: what a run keeps is resolved. Nothing is imported or called.

    config: plain and unresolved (OmegaConf.to_container), in today's names (`config_today`). folders: of config files. allowed:
    names that the person at the keyboard allows.
    """
    offers = offered_targets(folders)
    for place, key, value in _leaves(config):
        if key == TARGET:
            if not isinstance(value, str) or value not in {*offers.get(place.partition(".")[0], ()), *allowed}:
                raise UserError(
                    f"{file}: {place} names {without_passwords(str(value))}, which no config of this project offers there: it "
                    f"is not called; {_remedy(value)}"
                )
        elif isinstance(value, str) and "${" in value:
            raise UserError(
                f"{file}: {place} is {without_passwords(value)}, and what a run keeps refers to nothing: it is not resolved; "
                "write the value itself there"
            )


def offered_targets(folders: Collection[Path]) -> dict[str, set[str]]:
    """By config group the classes that its options name, but those of Hydra's own groups."""
    targets: dict[str, set[str]] = {}
    borrowed: dict[str, set[str]] = {}
    for folder in folders:
        for file in sorted([*folder.glob("*.yaml"), *folder.glob("*/*.yaml")]):
            group = file.parent.name if file.parent != folder else ""
            content = OmegaConf.to_container(OmegaConf.load(file)) if group not in NOT_GROUPS else {}
            for place, key, value in _leaves(content):
                own = group or place.partition(".")[0]
                if own in NOT_GROUPS or not isinstance(value, str):
                    continue
                if key == TARGET:
                    targets.setdefault(own, set()).add(value)
                elif reference := REFERENCE.fullmatch(value):
                    borrowed.setdefault(own, set()).add(reference[1])
    for group, others in borrowed.items():  # ${demo} in the group model: once resolved, the demo's class stands there
        targets.setdefault(group, set()).update(*(targets.get(other, ()) for other in others))
    return targets


def targets_in(config: Any) -> dict[str, Any]:
    """Every `_target_` by its dotted place."""
    return {place: value for place, key, value in _leaves(config) if key == TARGET}


def _leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """(dotted place, key, value) of everything that is no dict and no list, and of every `_target_`."""
    for key, value in config.items() if isinstance(config, Mapping) else enumerate(config or ()):
        if key != TARGET and isinstance(value, Mapping | list | tuple):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(key), value


def _remedy(target: Any) -> str:
    if isinstance(target, str) and re.fullmatch(r"[A-Za-z_][\w.]*", target):
        return f"if you know this file and trust it, add 'allow=[{target}]'"
    return "use a file that you know"
