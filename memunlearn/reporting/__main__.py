"""`python -m memunlearn.reporting DIR`: a sweep's summary, a run's page and figures, or a certificate, written again from the
files there.

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
    parser = argparse.ArgumentParser(prog=program, description="Write a sweep's or a run's page, or a certificate, again.")
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="the folder of a sweep's runs, of one run, or of a certificate"
    )
    parser.add_argument("--paper", action="store_true", help="it is the folder of `make paper`: write its page instead")
    options = parser.parse_args(arguments)
    from memunlearn.reporting.certificate_page import write_certificate  # here, so that --help answers at once
    from memunlearn.reporting.paper import write_paper
    from memunlearn.reporting.run_page import rewrite_run_page
    from memunlearn.reporting.sweep_summary import write_summary
    from memunlearn.results.certificate.content import has_certificate

    try:
        folder = expanded(options.folder)
        if options.paper:
            written = write_paper(folder)
        elif (folder / "result.json").is_file():
            written = rewrite_run_page(folder)
        elif has_certificate(folder):
            written = write_certificate(folder)
        else:
            written = write_summary(folder)
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
