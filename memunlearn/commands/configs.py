"""Where the config files are, and a config composed of them without a command line."""

from __future__ import annotations

from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig

import memunlearn
from memunlearn.commands import resolvers
from memunlearn.commands.arguments import as_typed

_PACKAGE = Path(memunlearn.__file__).resolve().parent
# A wheel brings them inside the package; in a checkout they lie beside it.
CONF = next((folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir()), _PACKAGE / "conf")


def compose(command: str, *overrides: str, config_dir: str | Path | None = None) -> DictConfig:
    """The config of `memunlearn COMMAND OVERRIDES`, for `train`, `evaluate` and `localize` from Python.

    command: "train", "evaluate" or "localize". config_dir: a folder of further config files, as with --config-dir. Raises
    Hydra's errors for overrides that do not fit.
    """
    resolvers.register()
    further = [] if config_dir is None else [f"hydra.searchpath=[file://{Path(config_dir).expanduser().resolve()}]"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra_compose(command, overrides=[*as_typed(overrides), *further])
