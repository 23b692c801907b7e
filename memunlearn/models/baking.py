"""A plain checkpoint out of a model with deltas: nothing of memunlearn is needed to load it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import nn

from memunlearn.errors import UserError
from memunlearn.files.writing import replacing_folder
from memunlearn.models.patches import Patch
from memunlearn.models.sparse_delta import base_parameters, modules_with_deltas, restore_plain

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.no_grad()
def bake(model: PreTrainedModel) -> PreTrainedModel:
    """A plain copy of `model` whose weights are the effective ones; `model` itself is left as it is.

    `save_pretrained` on a model with deltas drops the weights that have them without a word; on this copy it is safe.
    Besides `model` one copy of the weights is held. Every parameter of the copy requires gradients.
    """
    # What only the deltas need is lent to the copy instead of copied: it is thrown away in the next step.
    lent = {id(t): t for _, m in modules_with_deltas(model) for t in _parts_of_deltas(m)}
    plain = copy.deepcopy(model, lent)
    for _, module in modules_with_deltas(plain):
        restore_plain(module, {name: nn.Parameter(getattr(module, name)) for name in _names_with_deltas(module)})
    return plain.requires_grad_(True)


@torch.no_grad()
def plain_base(model: PreTrainedModel) -> PreTrainedModel:
    """The same of the model without its deltas: a plain copy with the base weights, bit for bit."""
    plain = bake(model)
    base = base_parameters(model)
    for name, parameter in base_parameters(plain).items():
        parameter.copy_(base[name])
    return plain


def _parts_of_deltas(module: nn.Module) -> list[torch.Tensor]:
    parametrizations = module.get_submodule("parametrizations")
    return [*parametrizations.parameters(), *parametrizations.buffers()]


def _names_with_deltas(module: nn.Module) -> list[str]:
    return [name for name, _ in module.get_submodule("parametrizations").named_children()]


def check_target(directory: str | Path) -> None:
    """Raises UserError unless a checkpoint can go to `directory`: it must be new or empty."""
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file, and a checkpoint needs a folder: give another path")
    if directory.is_dir() and any(directory.iterdir()):
        raise UserError(f"{directory} is not empty, and nothing is ever overwritten: give another folder or empty it first")


@torch.no_grad()
def lost_to_rounding(patch: Patch, model: PreTrainedModel, dtype: torch.dtype) -> int:
    """How many of the weights that the patch changes in this model (fp32, the patch applied) are the base's once rounded."""
    lost = 0
    if dtype is torch.float32:
        return lost
    for name, base in base_parameters(model).items():
        if name in patch.deltas:
            flat, delta = patch.indices[name], patch.deltas[name].flatten().to(base.device)
            before = base.flatten() if flat is None else base.flatten()[flat.to(base.device)]
            lost += int(((before.to(dtype) == (before + delta).to(dtype)) & (delta != 0)).sum())
    return lost


def save_baked(
    model: PreTrainedModel, directory: str | Path, tokenizer: Any | None = None, dtype: torch.dtype = torch.float32
) -> None:
    """Writes the effective model (and the tokenizer) as a plain checkpoint; the folder appears only when it is whole.

    dtype: of the weights in the file. Raises UserError if the folder exists and is not empty, or cannot be written, and if a
    weight is too large for the dtype.
    """
    check_target(directory)
    directory = Path(directory).absolute()
    try:
        with replacing_folder(directory) as temporary:
            plain = bake(model)
            nn.Module.to(plain, dtype)
            _check_finite(plain, dtype)
            plain.save_pretrained(temporary)
            if tokenizer is not None:
                tokenizer.save_pretrained(temporary)
    except (OSError, SafetensorError, ValueError) as error:  # ValueError: transformers refuses an invalid generation config
        raise UserError(f"cannot write the checkpoint {directory}: {error}") from error


def _check_finite(model: nn.Module, dtype: torch.dtype) -> None:
    if dtype is not torch.float16:
        return
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise UserError(f"{name} holds a weight that float16 cannot: write bfloat16 or float32")
