"""The config that a run keeps for resuming: resolved, without passwords; read back as a stranger's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from memunlearn.commands.offered import check_offered
from memunlearn.commands.references import followed
from memunlearn.errors import UserError
from memunlearn.files.reading import DEEPEST, read_text
from memunlearn.files.writing import write_text
from memunlearn.passwords import HIDDEN, hide_passwords
from memunlearn.results.old_names import config_today

ANEW = "start the run anew in another folder"
LARGEST = 1_000_000  # characters


def shown(cfg: DictConfig) -> dict[str, Any]:
    """The config as it may be shown and kept: resolved, passwords hidden."""
    plain: dict[str, Any] = hide_passwords(OmegaConf.to_container(cfg, resolve=True))
    return plain


def keep_config(cfg: DictConfig, path: Path) -> None:
    write_text(path, OmegaConf.to_yaml(OmegaConf.create(shown(cfg))))


def kept_config(path: Path, folders: Collection[Path], allowed: Sequence[str]) -> DictConfig:
    """In today's names. folders: of config files.

    Raises UserError if the file is damaged, or names what is neither offered nor allowed (see `check_offered`).
    """
    text = read_text(path, ANEW)
    with damage_named(path):
        _check_text(text)
        cfg = OmegaConf.create(text)
        if not isinstance(cfg, DictConfig):
            raise ValueError("it is no mapping")
        plain = config_today(followed(cfg))
    check_offered(plain, path, folders, allowed)
    return OmegaConf.create(plain)


def hidden_settings(config: Any, prefix: str = "") -> list[str]:
    """Dotted names of settings whose passwords were not kept."""
    if isinstance(config, dict):
        return [name for key, value in config.items() for name in hidden_settings(value, f"{prefix}.{key}" if prefix else key)]
    if isinstance(config, list):
        return [prefix] if any(hidden_settings(value, prefix) for value in config) else []
    return [prefix] if isinstance(config, str) and HIDDEN in config else []


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Whatever goes wrong here is the fault of this file."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # YAML's, OmegaConf's, Hydra's, and what a constructor makes of another type
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is damaged ({type(error).__name__}: {reason}): {ANEW}") from error


def _check_text(text: str) -> None:
    """Raises ValueError for YAML that no run writes and that takes all memory, or the stack, to read."""
    if len(text) > LARGEST:
        raise ValueError(f"it has {len(text):,} characters")
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has an alias")
        if depth > DEEPEST:
            raise ValueError(f"it is nested deeper than {DEEPEST}")
