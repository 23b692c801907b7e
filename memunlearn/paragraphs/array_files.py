"""Arrays of numbers from .pt and .npy files, never running code that is in them.

What a file says of itself is held against its size before anything is made of it: a few bytes can claim any shape.
"""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from memunlearn.errors import UserError, is_out_of_memory

ShapeCheck = Callable[[tuple[int, ...]], None]
"""Raises UserError if an array of this shape is not what was asked for."""

_NUMBERS = (
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
)


def read_array(file: Path, check: ShapeCheck) -> np.ndarray:
    """The array in a `.pt` or `.npy` file, its shape checked before memory is taken for it.

    Raises UserError for whatever else is in it, and as `check` does.
    """
    return _load_pt(file, check) if file.suffix == ".pt" else _load_npy(file, check)


def check_array(file: Path, check: ShapeCheck) -> None:
    """Raises as `read_array` would, as far as that can be told without reading the numbers."""
    if file.suffix == ".npy":
        _checked_header(file, check)


def _load_pt(file: Path, check: ShapeCheck) -> np.ndarray:
    _check_not_packed(file)
    try:
        with warnings.catch_warnings():
            # torch asks the user to file an issue about pickles that it did not write; the error below says what to do.
            warnings.simplefilter("ignore")
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{file}: holds more than plain tensors (loading it could run code) or is damaged, so it was not loaded: "
            "save one tensor of numbers with torch.save"
        ) from error
    except Exception as error:  # torch.load raises whatever the broken part of the file happens to hit
        if is_out_of_memory(error):
            raise _too_large(file) from error
        raise UserError(
            f"{file}: is not a torch file that can be read ({type(error).__name__}): save it again with torch.save"
        ) from error
    tensor = _plain(file, loaded)
    check(tuple(tensor.shape))
    return (tensor.double() if tensor.is_floating_point() else tensor).numpy()


def _check_not_packed(file: Path) -> None:
    """Raises UserError for an archive whose parts are larger than the archive: torch never compresses them."""
    try:
        if not zipfile.is_zipfile(file):
            return
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
    except Exception as error:  # zipfile raises BadZipFile, NotImplementedError, UnicodeDecodeError ... on damaged archives
        raise UserError(f"{file}: is not a torch file that can be read ({error}): save it again with torch.save") from error
    if unpacked > (size := os.path.getsize(file)):
        raise UserError(
            f"{file}: has {size:,} bytes that unpack to {unpacked:,}, so torch.save did not write it: save it again "
            "with torch.save"
        )


def _plain(file: Path, loaded: Any) -> Tensor:
    """The one dense tensor of numbers that was loaded, no larger than what was stored of it."""
    if not isinstance(loaded, Tensor):
        raise UserError(f"{file}: holds a {type(loaded).__name__}, not one dense tensor: save the tensor itself")
    kind = str(loaded.dtype).removeprefix("torch.")
    if loaded.is_nested or loaded.is_quantized or loaded.is_meta or loaded.layout is not torch.strided:
        what = {"nested": loaded.is_nested, "quantized": loaded.is_quantized, "meta": loaded.is_meta}
        called = next((name for name, true in what.items() if true), str(loaded.layout).removeprefix("torch."))
        raise UserError(f"{file}: holds a {called} tensor, not one dense tensor: save whole numbers as a plain tensor [N, I]")
    if loaded.dtype not in _NUMBERS:
        raise UserError(f"{file}: holds {kind}, not token ids: ids must be whole numbers")
    try:
        stored = loaded.untyped_storage().nbytes()
        tensor = loaded.detach().resolve_neg()
    except (RuntimeError, NotImplementedError) as error:  # subclasses and wrappers without memory of their own
        raise UserError(
            f"{file}: holds a tensor that cannot be read ({type(error).__name__}): save it as a plain one"
        ) from error
    claimed = loaded.numel() * loaded.element_size()
    held = min(stored, os.path.getsize(file))
    if max(claimed, stored) > held:
        raise UserError(
            f"{file}: says that it is {list(loaded.shape)}, {claimed:,} bytes, but holds {held:,}: if it was expanded, save "
            "tensor.clone() in its place"
        )
    return tensor


def _load_npy(file: Path, check: ShapeCheck) -> np.ndarray:
    _checked_header(file, check)
    try:
        loaded: np.ndarray = np.load(file, allow_pickle=False)
    except Exception as error:  # numpy, too, raises many kinds on damaged files
        raise _no_array(file, error) from error
    return loaded


def _checked_header(file: Path, check: ShapeCheck) -> None:
    with file.open("rb") as opened:
        if opened.read(2) == b"PK":
            raise UserError(f"{file}: holds several arrays: save one array with numpy.save")
        opened.seek(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                shape, kind = _read_header(opened)
        except Exception as error:
            raise _no_array(file, error) from error
        left = os.path.getsize(file) - opened.tell()
    if kind.hasobject:
        raise UserError(f"{file}: holds Python objects (loading them could run code): save a numeric array with numpy.save")
    if any(size < 0 for size in shape) or prod(shape) * kind.itemsize > left:
        raise UserError(
            f"{file}: says that it is {list(shape)} of {kind}, but holds {left:,} bytes: it was cut short, write it again"
        )
    check(shape)


def _read_header(opened: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(opened)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(opened)
    return tuple(int(size) for size in shape), kind


def _no_array(file: Path, error: Exception) -> UserError:
    if is_out_of_memory(error):
        return _too_large(file)
    return UserError(f"{file}: is not a plain numpy array ({error}): save a numeric array with numpy.save")


def _too_large(file: Path) -> UserError:
    return UserError(f"{file}: does not fit into memory: give a smaller file")
