"""What a setting can be."""

from __future__ import annotations

import math
from typing import TypeGuard

import torch

from memunlearn.errors import UserError


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite one."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: object, least: int) -> TypeGuard[int]:
    """Whether it is a whole number, and as large as this at least."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check_device(name: str, value: str) -> None:
    """Raises UserError if there is no such device here. name: of the setting."""
    try:
        device = torch.device(value)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"{name}={value} is not a device: use cpu, cuda, cuda:1, ... or null")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"{name}={value} is not on this machine, which has {torch.cuda.device_count()} CUDA devices: use cpu")
