"""Checkpoints that are whole or absent, and what is read of one before a run goes on from it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor

from memunlearn.errors import UserError, is_out_of_memory
from memunlearn.files.writing import write_bytes

# What Lightning and the module write, without which Lightning would start somewhere else rather than complain.
PARTS = {
    "state_dict": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "loops": dict,
    "callbacks": dict,
    "global_step": int,
    "epoch": int,
    "last_good": dict,
}
ANEW = "start the run anew in another folder"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the checkpoint and renames. Lightning's own goes through TMPDIR: on another disk that is a copy over the
    last good checkpoint, which a kill or a full disk tears."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        if "://" in str(path):  # not a local file
            return super().save_checkpoint(checkpoint, path, storage_options)
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_bytes(path, content.getvalue())


class Restored(lightning.Callback):
    """Whether Lightning has come past reading the checkpoint."""

    def __init__(self) -> None:
        self.done = False

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.done = True


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, as plain types. Raises UserError if the file cannot be read as one."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        missing = [name for name, kind in PARTS.items() if not isinstance(state[name], kind)]
    except Exception as error:  # torch.load raises many kinds of error for a damaged file
        raise not_readable(path, error) from error
    if missing:
        raise not_readable(path, TypeError(missing))
    return state


def checkpoint_mask(path: Path) -> dict[str, Tensor | None]:
    """The mask's indices from a checkpoint: a resumed run trains the very same weights.

    Raises UserError if the file is not a readable checkpoint of an unlearning run.
    """
    state = read_checkpoint(path)
    indices: dict[str, Tensor | None] = {}
    try:
        for key, value in state["state_dict"].items():
            path_of_weight, _, field = key.removeprefix("model.").rpartition(".0.")
            name = path_of_weight.replace(".parametrizations.", ".")
            if field == "delta":
                indices.setdefault(name, None)
            elif field == "indices":
                indices[name] = value
    except (KeyError, AttributeError, TypeError) as error:
        raise not_readable(path, error) from error
    if not all(flat is None or _is_flat(flat) for flat in indices.values()):
        raise not_readable(path, ValueError())
    return indices


def not_readable(path: Path, error: Exception) -> UserError:
    if is_out_of_memory(error):
        return UserError(f"out of memory: the checkpoint {path} does not fit: close other programs, or use more memory")
    return UserError(f"{path} is not a readable checkpoint of this run ({type(error).__name__}): {ANEW}")


def _is_flat(indices: Any) -> bool:
    """Whether these can be a tensor's flat positions: sorted, none twice, none negative."""
    if not isinstance(indices, Tensor) or indices.dtype != torch.int64 or indices.ndim != 1:
        return False
    return bool((indices.diff() > 0).all()) and not bool((indices < 0).any())
