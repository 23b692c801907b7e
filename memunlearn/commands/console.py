"""`memunlearn COMMAND ...`: every command under one name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import memunlearn

USAGE = f"""\
memunlearn {memunlearn.__version__}: find the paragraphs that a language model recites, unlearn or edit them, and prove it.

memunlearn find       which parts of your own texts a model recites
memunlearn takedown   the whole way: find what a model recites of texts, unlearn it, attack it, certificate, plain checkpoint
memunlearn train      unlearn or edit memorized paragraphs
memunlearn evaluate   score paragraphs, find memorized ones, or judge a patch
memunlearn localize   where memorized paragraphs live in the weights, and how they are recalled
memunlearn apply      write base + patch as a plain checkpoint
memunlearn push       a run's patch or checkpoint, with a model card, on the Hugging Face Hub
memunlearn report     write a sweep's or a run's page again

memunlearn COMMAND --help lists what each of them takes; memunlearn --version.
"""


def main() -> int:
    """Runs the command that sys.argv names. Returns its exit code: 0, or 2 after a mistake that the user can mend."""
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in ("--help", "-h"):
        print(USAGE, end="")
        return 0
    if command == "--version":
        print(f"memunlearn {memunlearn.__version__}")
        return 0
    if command not in COMMANDS:
        print(f"error: memunlearn {command}: there is no such command: use one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    # Own masks, objectives and sources in the folder that one works in, as with `python -m`.
    sys.path.insert(0, os.getcwd())
    return COMMANDS[command](command, arguments)


def _app(command: str, arguments: Sequence[str]) -> int:
    from memunlearn.commands.apps import run

    sys.argv = [sys.argv[0], *arguments]
    run(command)
    return 0


def _apply(command: str, arguments: Sequence[str]) -> int:
    from memunlearn.commands.apply import main as apply

    return apply([command, *arguments], "memunlearn")


def _push(command: str, arguments: Sequence[str]) -> int:
    from memunlearn.commands.push import main as push

    return push(arguments, f"memunlearn {command}")


def _report(command: str, arguments: Sequence[str]) -> int:
    from memunlearn.reporting.__main__ import main as reporting

    return reporting(arguments, f"memunlearn {command}")


COMMANDS: dict[str, Callable[[str, Sequence[str]], int]] = {
    "find": _app,
    "takedown": _app,
    "train": _app,
    "evaluate": _app,
    "localize": _app,
    "apply": _apply,
    "push": _push,
    "report": _report,
}
