"""Where the config files are, and a config composed of them without a command line."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

import memunlearn
from memunlearn.commands import resolvers
from memunlearn.commands.arguments import as_typed
from memunlearn.errors import UserError

_PACKAGE = Path(memunlearn.__file__).resolve().parent
# A wheel brings them inside the package; in a checkout they lie beside it.
CONF = next((folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir()), _PACKAGE / "conf")


@dataclass(frozen=True)
class Told:
    """What a config was composed of. overrides: as they were given. folders: of config files. content: the config then."""

    overrides: tuple[str, ...]
    folders: tuple[Path, ...]
    content: DictConfig


_TOLD: dict[int, tuple[weakref.ref[DictConfig], Told]] = {}


def compose(command: str, *overrides: str, config_dir: str | Path | None = None) -> DictConfig:
    """The config of `memunlearn COMMAND OVERRIDES`, for `train`, `evaluate`, `localize`, `find` and `takedown` from Python.

    command: one of these. config_dir: a folder of further config files, as with --config-dir. Raises Hydra's errors for
    overrides that do not fit.
    """
    resolvers.register()
    further = [] if config_dir is None else [f"hydra.searchpath=[file://{Path(config_dir).expanduser().resolve()}]"]
    with _running_hydra_aside(), initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra_compose(command, overrides=[*as_typed(overrides), *further])
    own = () if config_dir is None else (Path(config_dir).expanduser().resolve(),)
    number = id(cfg)
    forget = weakref.ref(cfg, lambda _: _TOLD.pop(number, None))
    _TOLD[number] = forget, Told(tuple(overrides), (CONF, *own), copy.deepcopy(cfg))
    return cfg


@contextmanager
def _running_hydra_aside() -> Iterator[None]:
    """Hydra composes nothing while it runs a job, which a command that calls others is."""
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = running


def told(cfg: DictConfig) -> Told | None:
    """What this very config was composed of by `compose`; None for another one, and one that was changed since."""
    _, known = _TOLD.get(id(cfg), (None, None))
    return known if known is not None and known.content == cfg else None


def must_be_told(cfg: DictConfig, setting: str) -> Told:
    """The same, for a setting with which it counts what was given. Raises UserError where that is not known."""
    known = told(cfg)
    if known is None:
        raise UserError(
            f"{setting}: what was set beside it must be known: give every setting to mu.compose, and pass on the config that "
            "it returns as it is"
        )
    return known
