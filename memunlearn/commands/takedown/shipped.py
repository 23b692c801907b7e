"""The checkpoint that is handed out: the one that was trained and searched, in the takedown's own folder, and once on disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from memunlearn.errors import UserError
from memunlearn.files.writing import replacing_folder


def link_checkpoint(trained: Path, shipped: Path) -> None:
    """The files of `trained` under `shipped` too; copied where the disk knows no hard links. Raises UserError where the
    checkpoint is not there."""
    if not trained.is_dir():
        raise UserError(f"{trained} is not there: remove {trained.parent}, and run the same command again")
    with replacing_folder(shipped) as temporary:
        for file in trained.iterdir():
            try:
                os.link(file, temporary / file.name)
            except OSError:
                shutil.copy2(file, temporary / file.name)
