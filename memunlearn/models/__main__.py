"""`python -m memunlearn.models apply --base DIR --patch FILE --out DIR`: base + patch as a plain checkpoint."""

from __future__ import annotations

import sys

from memunlearn.commands.apply import main
from memunlearn.process import own_process

__all__ = ["main"]

if __name__ == "__main__":
    with own_process():
        sys.exit(main())
