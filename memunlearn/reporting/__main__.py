"""`python -m memunlearn.reporting DIR`: a sweep's summary, a run's page and figures, that of attacks or a certificate, written
again from the files there.

With `--paper`: `paper.html` from what `make paper` has left in a folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from memunlearn.errors import UserError
from memunlearn.paths import expanded
from memunlearn.process import own_process


def main(arguments: Sequence[str] | None = None, program: str = "python -m memunlearn.reporting") -> int:
    """program: what starts this. Returns the exit code: 0, or 2 after one line about a mistake that the user can mend."""
    parser = argparse.ArgumentParser(
        prog=program, description="Write a sweep's page, a run's, that of attacks or a certificate again."
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder of a sweep, a run or an evaluation")
    parser.add_argument("--paper", action="store_true", help="it is the folder of `make paper`: write its page instead")
    options = parser.parse_args(arguments)
    from memunlearn.reporting.paper import write_paper  # here, so that --help answers at once

    try:
        folder = expanded(options.folder)
        written = (write_paper if options.paper else _write_of(folder))(folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {options.folder}: cannot write there ({error}): mend the folder's rights or space", file=sys.stderr)
        return 2
    for path in written:
        print(f"wrote {path}")
    return 0


def _write_of(folder: Path) -> Callable[[Path], list[Path]]:
    """What writes the pages of such a folder."""
    from memunlearn.reporting.attacks_page import write_attacks_page
    from memunlearn.reporting.certificate_page import write_certificate
    from memunlearn.reporting.run_page import rewrite_run_page
    from memunlearn.reporting.sweep_summary import write_summary
    from memunlearn.results.attacks.content import ATTACKS
    from memunlearn.results.certificate.content import has_certificate

    if (folder / "result.json").is_file():
        return rewrite_run_page
    found = [(folder / ATTACKS).is_file(), has_certificate(folder)]
    pages = [write for write, there in zip((write_attacks_page, write_certificate), found, strict=True) if there]
    return (lambda folder: [path for write in pages for path in write(folder)]) if pages else write_summary


if __name__ == "__main__":
    with own_process():
        sys.exit(main())
