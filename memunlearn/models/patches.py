"""The patch: the change itself, as a file. Base + patch = the unlearned model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from memunlearn.errors import UserError, is_out_of_memory
from memunlearn.files.reading import parse_json
from memunlearn.files.writing import replacing
from memunlearn.models.fingerprints import fingerprint
from memunlearn.models.hub_patches import located_patch
from memunlearn.models.sparse_delta import attach, detach, read_deltas, write_deltas
from memunlearn.paragraphs.roles import Roles, as_metadata, from_metadata


@dataclass(frozen=True, eq=False)
class Change:
    """What was trained: `Patch` before it is said of which base model, and by which run.

    indices, deltas, roles: as in `Patch`.
    """

    indices: Mapping[str, Tensor | None]
    deltas: Mapping[str, Tensor]
    roles: Roles | None = None

    def stamped(self, base_fingerprint: str, config: Mapping[str, Any]) -> Patch:
        return Patch(self.indices, self.deltas, base_fingerprint, config, self.roles)


@dataclass(frozen=True, eq=False)
class Patch:
    """What to add to which weights of which base model.

    indices: per parameter the flat positions (int64 [K_tensor], sorted), or None where the delta is dense.
    deltas: per parameter fp32 [K_tensor], or the parameter's own shape where dense.
    base_fingerprint: `fingerprint` of the base model. config: the config of the run that made it (JSON-able).
    roles: which row played which role in that run, as hashes; None where that is not known.
    """

    indices: Mapping[str, Tensor | None]
    deltas: Mapping[str, Tensor]
    base_fingerprint: str
    config: Mapping[str, Any]
    roles: Roles | None = None

    @property
    def k(self) -> int:
        """Number of weights that it can change."""
        return sum(delta.numel() for delta in self.deltas.values())


def capture_change(model: nn.Module, roles: Roles | None = None, trained: Mapping[str, Tensor] | None = None) -> Change:
    """The deltas that `model` carries, copied to the CPU. Raises UserError if none are attached.

    trained: values of `delta_parameters` that they are read from, None for those of now.
    """
    deltas = read_deltas(model, trained)
    if not deltas:
        raise UserError("this model carries no deltas, so there is no patch to take: unlearn(model, mask, preparation) first")
    indices = {name: None if flat is None else flat.cpu() for name, (flat, _) in deltas.items()}
    return Change(indices, {name: delta.cpu() for name, (_, delta) in deltas.items()}, roles)


def capture_patch(model: nn.Module, config: Mapping[str, Any]) -> Patch:
    """The same as a patch. Raises UserError if no deltas are attached."""
    return capture_change(model).stamped(fingerprint(model), config)


def save_patch(path: str | Path, patch: Patch) -> None:
    """Writes `<parameter>.delta`, `<parameter>.indices` and the metadata to a safetensors file, atomically.

    Folders are made as needed. Raises UserError if a delta is not finite, or the file cannot be written.
    """
    path = Path(path)
    check_finite(patch, "this patch")
    tensors = {f"{name}.delta": delta.detach().cpu().float().contiguous() for name, delta in patch.deltas.items()}
    tensors |= {f"{name}.indices": flat.cpu().contiguous() for name, flat in patch.indices.items() if flat is not None}
    metadata = {"base_fingerprint": patch.base_fingerprint, "config": json.dumps(patch.config)}
    metadata |= {} if patch.roles is None else as_metadata(patch.roles)
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write the patch {path}: {error}; choose a writable place with room for it") from error


def load_patch(path: str | Path) -> Patch:
    """Reads a patch onto the CPU: a file, or what a name on the Hub stands for (`located_patch`).

    Raises UserError if there is no file, or it is not a whole and valid patch.
    """
    path = located_patch(path)
    if not Path(path).is_file():
        raise UserError(f"there is no patch file {path}: give the path of a run's patch.safetensors")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (OSError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise UserError(
                f"out of memory: the patch {path} does not fit: close other programs, or use more memory"
            ) from error
        raise UserError(f"{path} is not a readable safetensors file ({error}): copy it again from the run") from error
    deltas = {key.removesuffix(".delta"): tensor for key, tensor in tensors.items() if key.endswith(".delta")}
    indices = {name: tensors.get(f"{name}.indices") for name in deltas}
    expected = {f"{name}.delta" for name in deltas} | {f"{name}.indices" for name, flat in indices.items() if flat is not None}
    if "base_fingerprint" not in metadata or not deltas or expected != tensors.keys():
        raise UserError(f"{path} is a safetensors file but not a memunlearn patch: give a run's patch.safetensors")
    for name, delta in deltas.items():
        _check_entry(path, name, delta, indices[name])
    try:
        roles = from_metadata(metadata)
    except ValueError as error:
        raise UserError(
            f"{path}: the roles in its metadata cannot be read ({error}): copy the file again from the run"
        ) from error
    patch = Patch(indices, deltas, metadata["base_fingerprint"], _parse_config(path, metadata.get("config", "{}")), roles)
    check_finite(patch, str(path))
    return patch


def check_finite(patch: Patch, name: str) -> None:
    """Raises UserError if a delta is NaN or infinite: the model would say nothing but noise, or NaN."""
    for parameter, delta in patch.deltas.items():
        if wrong := int((~delta.isfinite()).sum()):
            raise UserError(
                f"{name} has {wrong} deltas of {parameter} that are NaN or infinite: it is damaged, or its run diverged; "
                "take the patch of a run whose loss stayed finite"
            )


def _check_entry(path: str | Path, name: str, delta: Tensor, flat: Tensor | None) -> None:
    if delta.dtype != torch.float32:
        raise UserError(f"{path}: the delta of {name} is {delta.dtype}, not float32: this file was not written by memunlearn")
    if flat is not None and (flat.dtype != torch.int64 or flat.ndim != 1 or flat.shape != delta.shape):
        raise UserError(
            f"{path}: {name} has indices {list(flat.shape)} of {flat.dtype} for deltas {list(delta.shape)}; "
            "they must be int64 and as many: this file was not written by memunlearn"
        )


def _parse_config(path: str | Path, text: str) -> dict[str, Any]:
    try:
        config = parse_json(text)
    except ValueError as error:
        raise UserError(
            f"{path}: the config in its metadata is not JSON ({error}): copy the file again from the run"
        ) from error
    return config if isinstance(config, dict) else {"config": config}


def apply_patch(model: nn.Module, patch: Patch) -> None:
    """Makes `model` the unlearned model, in place and reversibly (`remove_patch`), its base weights frozen.

    Raises UserError if the model is another base than the patch was made for, or carries deltas already, and if a delta is
    not finite.
    """
    check_base(patch, fingerprint(model))
    check_finite(patch, "this patch")
    attach(model, patch.indices)
    try:
        write_deltas(model, patch.deltas)
    except UserError:
        detach(model)
        raise


def check_base(patch: Patch, found: str) -> None:
    """Raises UserError if `found`, the fingerprint of a model, is not that of the patch's base."""
    if found != patch.base_fingerprint:
        raise UserError(
            f"this patch belongs to another base model: it is for weights {patch.base_fingerprint[:12]}..., this model has "
            f"{found[:12]}...: give the very checkpoint that the run started from (model.name_or_path in the patch's config)"
        )


def remove_patch(model: nn.Module) -> None:
    """Gives the base model back, bit for bit, every parameter requiring gradients again."""
    detach(model)
