"""One wrapper around Hydra for every script: a mistake ends with one line and exit code 2."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from memunlearn.commands import resolvers, sweep_launcher, sweep_watch
from memunlearn.commands.arguments import as_typed
from memunlearn.commands.call import program
from memunlearn.commands.claim_folders import Refused
from memunlearn.commands.claims import let_all_go
from memunlearn.commands.frontier import sweeper
from memunlearn.commands.help import asked_for, help_text
from memunlearn.commands.mistakes import mistake
from memunlearn.passwords import without_passwords
from memunlearn.process import go_on_by
from memunlearn.results.old_names import check_keys

INSTEAD = {
    # Hydra takes no null for a group on the command line; the option that is empty means the same.
    "stop=null": "stop=none",
    # Hydra refuses a file of ours under the name of a plugin's: this one starts from the plugin's and sets the search up.
    "hydra/sweeper=optuna": "hydra/sweeper=search",
    # No option, since it is refused: with what goes instead, and why.
    "trainer=fsdp": "trainer.strategy=fsdp",
    # The whole group's name for the one setting that asks for it.
    "certificate=true": "certificate.write=true",
    "certificate=false": "certificate.write=false",
}


def run_app(task: Callable[[DictConfig], Any], config_name: str, config_path: Path) -> None:
    """Composes the config, runs the task, and exits: 0, or 2 with one line on stderr for a mistake that the user can mend.

    HYDRA_FULL_ERROR=1 prints the traceback as well. Any other exception is a fault of ours and keeps its traceback.
    A sweep goes on after a failed job; it ends with a list of all that failed, and with 2 if one of them was a mistake, else 1.
    """
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
    # Hydra would print a traceback and exit with 1; with this set it hands the exception on.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = [sys.argv[0], *as_typed([INSTEAD.get(argument, argument) for argument in sys.argv[1:]])]
    if asked_for(sys.argv[1:]):
        print(help_text(config_name, program().format(config_name), sys.argv[1:]), end="")
        return
    resolvers.register()
    sweep_launcher.register()
    sweeper.register()
    sweep_watch.forget_sweep()
    go_on_by(None)
    raised: Exception | None = None
    try:
        check_keys(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(config_path.resolve()), config_name=config_name)(task)()
    except Refused as refused:
        raised = refused.error
    except Exception as error:
        raised = error
    finally:
        let_all_go()
    failures = sweep_watch.end_sweep()
    line = None if raised is None else mistake(raised, config_name)
    if raised is not None and line is None and not failures:
        raise raised
    if raised is not None and wants_traceback:
        print(without_passwords("".join(traceback.format_exception(raised))), end="", file=sys.stderr)
    if failures:
        print(sweep_watch.closing_lines(failures), file=sys.stderr)
        sys.exit(2 if line is not None or any(failure.mistake for failure in failures) else 1)
    if line is not None:
        print(f"error: {without_passwords(line)}", file=sys.stderr)
        sys.exit(2)
