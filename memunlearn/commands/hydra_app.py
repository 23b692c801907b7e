"""One wrapper around Hydra for every script: a mistake ends with one line and exit code 2."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from memunlearn.errors import UserError

OUT_OF_MEMORY = (
    "out of memory: set a smaller batch_size (and raise accumulate by the same factor, which keeps the number of rows a step)"
)

INSTEAD = {
    # Hydra takes no null for a group on the command line; the option that is empty means the same.
    "stop=null": "stop=none",
    # Hydra refuses a file of ours under the name of a plugin's: this one starts from the plugin's and sets the search up.
    "hydra/sweeper=optuna": "hydra/sweeper=search",
}


def run_app(task: Callable[[DictConfig], Any], config_name: str, config_path: Path) -> None:
    """Composes the config, runs the task, and exits: 0, or 2 with one line on stderr for a mistake that the user can mend.

    HYDRA_FULL_ERROR=1 prints the traceback as well. Any other exception is a fault of ours and keeps its traceback.
    """
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
    # Hydra would print a traceback and exit with 1; with this set it hands the exception on.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = [INSTEAD.get(argument, argument) for argument in sys.argv]
    try:
        hydra.main(version_base="1.3", config_path=str(config_path.resolve()), config_name=config_name)(task)()
    except Exception as error:
        line = mistake(error)
        if line is None:
            raise
        if wants_traceback:
            traceback.print_exc()
        print(f"error: {line}", file=sys.stderr)
        sys.exit(2)


def mistake(error: BaseException) -> str | None:
    """The line to show if the user can mend this error, else None."""
    causes = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    for cause in causes:
        if isinstance(cause, UserError):
            return str(cause)
        if is_out_of_memory(cause):
            return OUT_OF_MEMORY
    if isinstance(error, HydraException) and _without_optuna(error):
        return "hydra/sweeper=optuna needs Optuna and its Hydra plugin: pip install 'memunlearn[optuna]'"
    if isinstance(error, HydraException | OmegaConfBaseException) or _while_composing(error):
        return " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno is not None:
        where = error.filename or "the output folder"
        return f"{where}: {os.strerror(error.errno)}: check the path, its permissions and the room on its disk"
    return None


def _without_optuna(error: HydraException) -> bool:
    """Whether Hydra looked in vain for what the plugin would have brought; it imports all plugins that are installed."""
    wanted = ("hydra/sweeper/optuna", "hydra/sweeper/sampler")
    return "hydra_plugins.hydra_optuna_sweeper" not in sys.modules and any(name in str(error) for name in wanted)


def _while_composing(error: BaseException) -> bool:
    """Whether Hydra raised it over the command line or a config file: not all of its errors are HydraExceptions."""
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return "hydra._internal.config_loader_impl" in modules or modules[-1:] == ["hydra._internal.utils"]


def is_out_of_memory(error: BaseException) -> bool:
    """The GPU's, PyTorch's CPU allocator's, or Python's own."""
    torch = sys.modules.get("torch")  # not imported for this: a typo is answered at once
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
