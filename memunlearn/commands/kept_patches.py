"""What is trained goes to the run's folder at once; whatever fails afterwards says where it is."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memunlearn.commands.arguments import override
from memunlearn.commands.mistakes import mistake
from memunlearn.errors import UserError
from memunlearn.files.writing import remove_folder
from memunlearn.models.patches import Change, Patch, save_patch

PATCH = "patch.safetensors"
PATCHES = "patches"


@dataclass
class KeptPatches:
    """directory: the run's folder. base_fingerprint, config: what a patch says of its base model and of the run. evaluating:
    what starts `evaluate` here. written: the files, in order."""

    directory: Path
    base_fingerprint: str
    config: Mapping[str, Any]
    evaluating: Sequence[str]
    written: list[Path] = field(default_factory=list)

    def keep(self, trial: int | None, change: Change) -> Patch:
        """The change as a patch of this run, in `patch.safetensors` or a trial's file in `patches/`; with the first, those
        of an earlier run here go.

        Raises UserError where the folder cannot be written; the patch then lies in a new temporary folder, if that can be.
        """
        if not self.written:
            (self.directory / PATCH).unlink(missing_ok=True)
            remove_folder(self.directory / PATCHES)
        path = self.directory / (PATCH if trial is None else f"{PATCHES}/trial_{trial:03d}.safetensors")
        patch = change.stamped(self.base_fingerprint, self.config)
        try:
            save_patch(path, patch)
        except UserError as error:
            if error.__cause__ is None:  # the patch is refused, not the place
                raise
            path = Path(tempfile.mkdtemp(prefix="memunlearn-")) / path.name
            save_patch(path, patch)
            raise
        finally:
            if path.is_file():
                self.written.append(path)
        return patch

    def explain(self, error: Exception) -> None:
        """Makes the error that ends a run say as well where what was trained is, if anything was yet.

        One that the user can mend is raised anew, as a UserError; another gets a note.
        """
        if not self.written:
            return
        line = mistake(error)
        if line is not None:
            raise UserError(f"{line}; {self.where}") from error
        error.add_note(self.where)

    @property
    def where(self) -> str:
        """Where the patches are, and how to measure them."""
        last = self.written[-1]
        what = f"is kept, whole, in {last}" if len(self.written) == 1 else f"is kept, a file a trial, in {last.parent}"
        return f"what was trained {what}: measure it with `{shlex.join([*self.evaluating, override('patch', str(last))])}`"
