"""The checkpoint that is handed out: the one that was trained and searched, in the takedown's own folder, and once on disk."""

from __future__ import annotations

import os
from pathlib import Path

from memunlearn.errors import UserError
from memunlearn.files.writing import replacing_folder


def link_checkpoint(trained: Path, shipped: Path) -> None:
    """The files of `trained` under `shipped` too, where the disk can; else they are moved there. Raises UserError where the
    checkpoint is not there."""
    if not trained.is_dir():
        raise UserError(f"{trained} is not there: remove {trained.parent}, and run the same command again")
    try:
        with replacing_folder(shipped) as temporary:
            for file in trained.iterdir():
                os.link(file, temporary / file.name)
    except OSError:  # a disk without hard links
        os.replace(trained, shipped)
