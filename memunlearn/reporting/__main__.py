"""`python -m memunlearn.reporting SWEEP_DIR`: a sweep's summary, written again from its run folders.

With `--paper`: `paper.html` from what `make paper` has left in a folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from memunlearn.errors import UserError
from memunlearn.paths import expanded
from memunlearn.reporting.paper import write_paper
from memunlearn.reporting.sweep_summary import write_summary


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 after one line about a mistake that the user can mend."""
    parser = argparse.ArgumentParser(prog="python -m memunlearn.reporting", description="Write a sweep's summary again.")
    parser.add_argument("folder", type=Path, metavar="SWEEP_DIR", help="the folder that holds the runs of a sweep")
    parser.add_argument("--paper", action="store_true", help="it is the folder of `make paper`: write its page instead")
    options = parser.parse_args(arguments)
    try:
        folder = expanded(options.folder)
        written = write_paper(folder) if options.paper else write_summary(folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {options.folder}: cannot write there ({error}): mend the folder's rights or space", file=sys.stderr)
        return 2
    for path in written:
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
