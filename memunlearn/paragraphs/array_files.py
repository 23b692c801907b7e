"""Arrays of numbers from .pt and .npy files, never running code that is in them."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from memunlearn.errors import UserError

ARRAYS = (".pt", ".npy")


def existing_file(path: str | PathLike[str], suffixes: Sequence[str], what: str = "paragraphs") -> Path:
    """The path of a file that is there, is not empty and has one of these suffixes. Raises UserError if it is not."""
    # A path that is all digits arrives from the command line as a number.
    file = Path(str(path)).expanduser()
    try:
        if file.is_dir():
            raise UserError(f"{file}: is a folder: give a file of {what}")
        if not file.is_file():
            raise UserError(f"{file}: no such file: check the path (relative paths start at {Path.cwd()})")
        if file.suffix not in suffixes:
            raise UserError(f"{file}: cannot tell what it is: its name must end in one of {', '.join(suffixes)}")
        with file.open("rb") as opened:
            empty = not opened.read(1)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}): check the path and its permissions") from error
    if empty:
        raise UserError(f"{file}: is empty: write it again, or give another file")
    return file


def read_array(file: Path) -> np.ndarray:
    """The array in a file of one of the kinds ARRAYS, of any shape. Raises UserError for whatever else is in it."""
    return _load_pt(file) if file.suffix == ".pt" else _load_npy(file)


def _load_pt(file: Path) -> np.ndarray:
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
        raise UserError(
            f"{file}: is not a torch file that can be read ({type(error).__name__}): save it again with torch.save"
        ) from error
    if not isinstance(loaded, Tensor) or loaded.layout is not torch.strided:
        raise UserError(f"{file}: holds a {type(loaded).__name__}, not one dense tensor: save the tensor itself")
    tensor = loaded.detach()
    return (tensor.double() if tensor.is_floating_point() else tensor).numpy()


def _load_npy(file: Path) -> np.ndarray:
    try:
        loaded = np.load(file, allow_pickle=False)
    except Exception as error:  # numpy, too, raises many kinds on damaged files
        raise UserError(f"{file}: is not a plain numpy array ({error}): save a numeric array with numpy.save") from error
    if not isinstance(loaded, np.ndarray):
        raise UserError(f"{file}: holds several arrays: save one array with numpy.save")
    return loaded
