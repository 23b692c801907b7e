"""Which errors a user can mend, and the one line that says how."""

from __future__ import annotations

import os
import re
import shlex
import sys
import traceback

from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from memunlearn.commands.arguments import quoted
from memunlearn.commands.did_you_mean import did_you_mean
from memunlearn.commands.unknown_settings import where_it_is
from memunlearn.errors import UserError, is_out_of_memory

OUT_OF_MEMORY = (
    "out of memory: set a smaller batch_size (for train.py, also raise accumulate by the same factor, which keeps the number "
    "of rows a step)"
)


def mistake(error: BaseException, command: str | None = None) -> str | None:
    """The line to show if the user can mend this error, else None. command: the one that it comes of, where that is known."""
    causes = causes_of(error)
    for cause in causes:
        if isinstance(cause, UserError):
            return str(cause)
        if is_out_of_memory(cause):
            return OUT_OF_MEMORY
    if isinstance(error, HydraException) and _without_optuna(error):
        return "hydra/sweeper=optuna needs Optuna and its Hydra plugin: pip install 'memunlearn[optuna]'"
    if _without_submitit(error):
        return "this launcher needs submitit and its Hydra plugin: pip install 'memunlearn[slurm]'"
    for line in (where_it_is(error), did_you_mean(error, command)):
        if line is not None:
            return line
    if isinstance(error, HydraException | OmegaConfBaseException) or _while_composing(error):
        return " ".join(str(error).split()) + _how_to_quote(error)
    if isinstance(error, BrokenPipeError):
        return "what reads this command's output has ended: let it read on, or write the output to a file"
    for cause in causes if _while_opening_the_log(error) else [error]:
        if isinstance(cause, OSError) and cause.errno is not None:
            where = cause.filename or "the output folder"
            return f"{where}: {os.strerror(cause.errno)}: check the path, its permissions and the room on its disk"
    return None


def causes_of(error: BaseException) -> list[BaseException]:
    """The error, what it was raised from, and so on."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return causes


def _how_to_quote(error: BaseException) -> str:
    """What to type instead of an argument that Hydra's grammar refuses."""
    argument = str(getattr(error, "override", None) or "")
    key, equals, value = argument.partition("=")
    if not isinstance(error, OverrideParseException) or not equals:
        return ""
    instead = f"{key}={quoted(value)}"
    # The shell takes signs in double quotes as they are, but for these.
    typed = shlex.quote(instead) if re.search(r'["$`\\!]', instead) else f'"{instead}"'
    return f"; a value with other signs than letters, digits and / . - _ is quoted twice: {typed}"


def _without_optuna(error: HydraException) -> bool:
    """Whether Hydra looked in vain for what the plugin would have brought; it imports all plugins that are installed."""
    wanted = ("hydra/sweeper/optuna", "hydra/sweeper/sampler")
    return "hydra_plugins.hydra_optuna_sweeper" not in sys.modules and any(name in str(error) for name in wanted)


def _without_submitit(error: BaseException) -> bool:
    """Hydra looks for a launcher's config, or for its class, in vain."""
    wanted = ("hydra/launcher/submitit", "hydra_plugins.hydra_submitit_launcher")
    return wanted[1] not in sys.modules and any(name in str(error) for name in wanted)


def _while_composing(error: BaseException) -> bool:
    """Whether Hydra raised it over the command line or a config file: not all of its errors are HydraExceptions."""
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return "hydra._internal.config_loader_impl" in modules or modules[-1:] == ["hydra._internal.utils"]


def _while_opening_the_log(error: BaseException) -> bool:
    """Whether Hydra raised it over the file of its log, the first that it opens in the output folder."""
    return [frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(error.__traceback__)][-1:] == ["logging.config"]
