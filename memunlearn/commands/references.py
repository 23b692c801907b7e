"""What an earlier version kept unresolved: configs in which one setting refers to another."""

from __future__ import annotations

import re
from typing import Any

from omegaconf import DictConfig, OmegaConf

REFERENCE = re.compile(r"\$\{\.*\w+(\.\w+)*\}")
FEW = 100
# The only groups that a config refers to as a whole, and where.
WHOLE = {"model.demo": "${demo}", "paragraphs.source.demo": "${demo}"}


def followed(cfg: DictConfig) -> dict[str, Any]:
    """The config as plain values, each `${name}` or `${..name}` replaced by the one value that it names.

    Raises ValueError for any other reference: to the environment or a function, within a text, or to what holds more than a few
    plain values, but for the demo (groups that name groups take all memory); OmegaConf's errors where a reference leads
    nowhere, or round in a circle.
    """
    plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=False)  # type: ignore[assignment]
    return _followed(plain, cfg, "")


def _followed(node: dict[str, Any], cfg: DictConfig, prefix: str) -> dict[str, Any]:
    values = {}
    for key, value in node.items():
        place = f"{prefix}{key}"
        if isinstance(value, dict):
            values[key] = _followed(value, cfg, f"{place}.")
        elif "${" not in str(value):
            values[key] = value
        elif WHOLE.get(place) == value:
            values[key] = {name: _value(cfg, f"demo.{name}") for name in cfg.demo}
        elif isinstance(value, str) and REFERENCE.fullmatch(value):
            values[key] = _value(cfg, place)
        else:
            raise ValueError(f"{place} is {value}")
    return values


def _value(cfg: DictConfig, place: str) -> Any:
    value = OmegaConf.select(cfg, place)
    if not OmegaConf.is_config(value):
        return value
    held = OmegaConf.to_container(value, resolve=False)
    values = held.values() if isinstance(held, dict) else held
    if len(value) > FEW or any(isinstance(one, dict | list) or "${" in str(one) for one in values or ()):
        raise ValueError(f"{place} refers to a group")
    return held
