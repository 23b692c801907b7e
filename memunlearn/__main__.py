"""`python -m memunlearn COMMAND ...`, and the command `memunlearn` of an installed package."""

from __future__ import annotations

import sys

from memunlearn.process import own_process


def main() -> None:
    """Exits with the command's exit code."""
    with own_process():
        from memunlearn.commands.console import main as console

        sys.exit(console())


if __name__ == "__main__":
    main()
