"""Telling one base model from another by its weights."""

from __future__ import annotations

import hashlib

from torch import nn

from memunlearn.models.sparse_delta import base_parameters


def fingerprint(model: nn.Module) -> str:
    """sha256 (hex) over every base parameter's name, shape and fp32 bytes, in the order of the names; a tied tensor once.

    The same before and after deltas are attached. One tensor at a time is copied to the CPU.
    """
    digest = hashlib.sha256()
    for name, parameter in sorted(base_parameters(model).items()):
        digest.update(f"{name} {list(parameter.shape)} ".encode())
        digest.update(parameter.detach().cpu().float().contiguous().numpy().data)
    return digest.hexdigest()
