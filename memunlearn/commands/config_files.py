"""What stands in the config files themselves, before anything is composed of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from memunlearn.commands.configs import CONF

# Groups of which there can be several options, each under its own name.
SEVERAL = ("analysis", "attacks")


def plain(file: Path) -> dict[str, Any]:
    """The content of a config file, nothing filled in."""
    content: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(file))  # type: ignore[assignment]
    return content


def in_place(file: Path) -> bool:
    """Whether its settings stand under its group's name; else they are named from the top."""
    return "@package _global_" not in file.read_text("utf-8")


def groups_of(command: str) -> dict[str, list[str]]:
    """The config groups of a command, each with the options that are chosen by default."""
    found = {}
    for entry in plain(CONF / f"{command}.yaml").get("defaults", []):
        if isinstance(entry, Mapping):
            ((group, option),) = entry.items()
            found[str(group)] = option if isinstance(option, list) else [] if option is None else [option]
    return found
