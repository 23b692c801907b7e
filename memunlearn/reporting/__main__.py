"""`python -m memunlearn.reporting SWEEP_DIR`: a sweep's summary, written again from its run folders."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from memunlearn.errors import UserError
from memunlearn.reporting.sweep_summary import write_summary


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 after one line about a mistake that the user can mend."""
    parser = argparse.ArgumentParser(prog="python -m memunlearn.reporting", description="Write a sweep's summary again.")
    parser.add_argument("sweep", type=Path, metavar="SWEEP_DIR", help="the folder that holds the runs of a sweep")
    options = parser.parse_args(arguments)
    try:
        written = write_summary(options.sweep)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {options.sweep}: cannot write the summary ({error}): mend the folder's rights or space", file=sys.stderr)
        return 2
    for path in written:
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
