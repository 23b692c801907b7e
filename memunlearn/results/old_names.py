"""What earlier versions wrote, in today's names: the one table of what was moved, renamed or added."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from memunlearn.errors import UserError

TARGET = "_target_"

# Classes that configs name, by the path that an earlier version had them under.
MOVED: dict[str, str] = {}

# Settings that stand elsewhere now.
RENAMED = {"mask.lr": "optimizer.lr", "mask.scope": "protocol.mask_scope"}

_MADE = {"retain_rows": 256, "suspected": None, "suspected_samples": 1024}
_CUT = {"stride": "auto", "min_prefix": None, "max_windows": 4096}

# What an earlier version could not be told: the value with which a config without it is the same.
ADDED: dict[str, dict[str, Any]] = {
    "memunlearn.unlearning.stopping.StopRule": {"min_bystander_em": None, "longest_run": None},
    "memunlearn.unlearning.per_paragraph.PerParagraph": {"mask_scope": "trial"},
    "memunlearn.demo.model.Demo": {"oracle": False},
    "memunlearn.demo.model.DemoSource": {"bos": "auto"},
    "memunlearn.paragraphs.sources.FileSource": {"bos": "auto", "protected": None, **_MADE, **_CUT},
    "memunlearn.paragraphs.sources.HubSource": {"bos": "auto"},
}

# The same at the top of a run's config.
ADDED_AT_THE_TOP: dict[str, Any] = {
    "p_z": {"top_k": None, "temperature": 1.0},
    "dtype": None,
    "gradient_checkpointing": False,
    "compile": False,
}

# The same for the group `paragraphs`, by the class of its source.
_ANY = {"protect": 0.0, "protected_share": 0.5, "unseen": None}
ADDED_TO_PARAGRAPHS: dict[str, dict[str, Any]] = {
    "memunlearn.demo.model.DemoSource": {"bos": "auto", **_ANY},
    "memunlearn.paragraphs.sources.FileSource": {"bos": "auto", "protected": None, **_MADE, **_CUT, **_ANY},
    "memunlearn.paragraphs.sources.HubSource": {"bos": "auto", **_ANY},
    "memunlearn.paragraphs.sources.PileSource": _ANY,
    "memunlearn.paragraphs.sources.LMExtractionSource": _ANY,
}


def name_today(name: str) -> str:
    """Where the class is now that a config names so."""
    return MOVED.get(name, name)


def config_today(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's resolved config as it would be written today; one of today's, and what is no config of a run, stays as it is."""
    today = {key: _today(value) for key, value in config.items()}
    mask, protocol, paragraphs = (today.get(group) for group in ("mask", "protocol", "paragraphs"))
    if isinstance(mask, dict):
        mask.pop("lr", None)  # optimizer.lr says it, where it has an effect
        scope = mask.pop("scope", None)
        if scope is not None and isinstance(protocol, dict) and "mask_scope" in protocol:
            protocol["mask_scope"] = scope
    if isinstance(paragraphs, dict) and isinstance(source := paragraphs.get("source"), dict):
        for key, value in ADDED_TO_PARAGRAPHS.get(str(source.get(TARGET)), {}).items():
            paragraphs.setdefault(key, value)
    if isinstance(protocol, dict) and isinstance(today.get("objective"), dict):
        for key, value in copy.deepcopy(ADDED_AT_THE_TOP).items():
            today.setdefault(key, value)
    return today


def check_keys(overrides: Iterable[str]) -> None:
    """Raises UserError where an override, as it is typed, is for a setting that stands elsewhere now."""
    for override in overrides:
        key, _, value = override.partition("=")
        if (new := RENAMED.get(key.lstrip("+~"))) is not None:
            said = "leave it out" if value == "null" or override.startswith("~") else f"write {new}={value or '...'}"
            raise UserError(f"{override}: this setting is {new} now: {said}")


def _today(node: Any) -> Any:
    if isinstance(node, list | tuple):
        return [_today(value) for value in node]
    if not isinstance(node, Mapping):
        return node
    today = {key: _today(value) for key, value in node.items()}
    if isinstance(name := today.get(TARGET), str):
        today[TARGET] = name_today(name)
        for key, value in ADDED.get(today[TARGET], {}).items():
            today.setdefault(key, value)
    return today
