"""`python -m memunlearn.reporting DIR`: a sweep's summary, or a run's page and figures, written again from the files there.

With `--paper`: `paper.html` from what `make paper` has left in a folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from memunlearn.errors import UserError
from memunlearn.paths import expanded
from memunlearn.process import own_process


def main(arguments: Sequence[str] | None = None, program: str = "python -m memunlearn.reporting") -> int:
    """program: what starts this. Returns the exit code: 0, or 2 after one line about a mistake that the user can mend."""
    parser = argparse.ArgumentParser(prog=program, description="Write a sweep's or a run's page again.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder that holds the runs of a sweep, or one run's")
    parser.add_argument("--paper", action="store_true", help="it is the folder of `make paper`: write its page instead")
    options = parser.parse_args(arguments)
    from memunlearn.reporting.paper import write_paper  # here, so that --help answers at once
    from memunlearn.reporting.run_page import rewrite_run_page
    from memunlearn.reporting.sweep_summary import write_summary

    try:
        folder = expanded(options.folder)
        is_run = (folder / "result.json").is_file()
        write = write_paper if options.paper else rewrite_run_page if is_run else write_summary
        written = write(folder)
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
    with own_process():
        sys.exit(main())
