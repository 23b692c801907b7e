"""A setting that the chosen option of a group does not have, while another option of the group does: which one."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from hydra.errors import ConfigCompositionException
from omegaconf.errors import OmegaConfBaseException

from memunlearn.commands.config_files import in_place, plain
from memunlearn.commands.configs import CONF
from memunlearn.words import either


def where_it_is(error: BaseException) -> str | None:
    """The line for Hydra's complaint about such a setting; None for any other error."""
    cause = error.__cause__
    if not isinstance(error, ConfigCompositionException) or not isinstance(cause, OmegaConfBaseException):
        return None
    found = re.match(r"Could not override '([\w.]+)'", str(error))
    if found is None or "." not in found[1]:
        return None
    group, key = found[1].split(".", 1)
    # Without the whole name, what is missing is the group itself, and not a setting of the option.
    if cause.full_key != found[1]:
        return _not_chosen(found[1], group, key)
    if group == "stop" and (protocol := _without_stop_rule()) is not None:
        return f"{found[1]}: {protocol} goes without a stop rule: leave it out"
    options = [f"{group}={name}" for name in options_with(group, key)]
    if not options:
        return None
    known = either(options)
    not_typed = "hydra/sweeper=search" in sys.argv and found[1] in _searched()
    leave_out = "add hydra.sweeper.params=null, and search this one's own settings" if not_typed else "leave it out"
    way_out = f"{leave_out}, or choose {known}, which {_have(options)} it"
    return f"{found[1]}: the {group} that is chosen has no {key}: {way_out}"


def _without_stop_rule() -> str | None:
    """The protocol that was asked for, where its file takes the stop rule away and none was asked for beside it."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:] if "=" in argument)
    file = CONF / "protocol" / f"{given.get('protocol')}.yaml"
    if "stop" in given or not file.is_file():
        return None
    content = plain(file)
    return f"protocol={given['protocol']}" if {"override /stop": "none"} in content.get("defaults", []) else None


def _not_chosen(setting: str, group: str, key: str) -> str | None:
    """Of groups of which nothing is chosen by default."""
    name = key.partition(".")[0]
    if group == "attacks" and (CONF / group / f"{name}.yaml").is_file():
        return f"{setting}: attacks={name} is not chosen: add attacks={name} (or attacks=all)"
    if group == "rehearsal":
        return f"{setting}: nothing is relearned in this run: add rehearsal=relearning"
    return None


def options_with(group: str, key: str) -> list[str]:
    """The group's options whose own file has this setting."""
    return [file.stem for file in sorted((CONF / group).glob("*.yaml")) if _has(file, group, key)]


def _searched() -> set[str]:
    """The settings of the default method that a search without others is over."""
    return set(plain(CONF / "hydra" / "sweeper" / "search.yaml")["hydra"]["sweeper"]["params"])


def _have(options: list[str]) -> str:
    return "has" if len(options) == 1 else "have"


def _has(file: Path, group: str, key: str) -> bool:
    content: Any = plain(file)
    if not in_place(file):
        key = f"{group}.{key}"
    for part in key.split("."):
        if not isinstance(content, dict) or part not in content:
            return False
        content = content[part]
    return True
