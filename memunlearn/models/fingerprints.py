"""Telling one base model from another by its weights."""

from __future__ import annotations

import hashlib
import json

from torch import nn
from transformers import PreTrainedModel

from memunlearn.models.sparse_delta import base_parameters

# In which file a checkpoint lies and who wrote it; its type is that of its weights.
_NOT_THE_MODEL = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")


def fingerprint(model: nn.Module) -> str:
    """sha256 (hex) over every base parameter's name, shape and fp32 bytes, in the order of the names; a tied tensor once.

    The same before and after deltas are attached. One tensor at a time is copied to the CPU.
    """
    digest = hashlib.sha256()
    for name, parameter in sorted(base_parameters(model).items()):
        digest.update(f"{name} {list(parameter.shape)} ".encode())
        digest.update(parameter.detach().cpu().float().contiguous().numpy().data)
    return digest.hexdigest()


def architecture_fingerprint(model: PreTrainedModel) -> str:
    """sha256 (hex) over what the weights do not tell: the class and its config (attention windows, activations, EOS)."""
    config = {name: value for name, value in model.config.to_dict().items() if name not in _NOT_THE_MODEL}
    described = json.dumps([type(model).__name__, config], sort_keys=True, default=str)
    return hashlib.sha256(described.encode()).hexdigest()
