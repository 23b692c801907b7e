"""Models: loading them, what each weight is, changing chosen weights only, and the patch that records the change.

Each name is imported when it is first used: `python -m memunlearn.models` comes through here before it can answer Ctrl-C.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "Filter": "filters",
    "KINDS": "architectures",
    "LoadedModel": "loading",
    "ModelSource": "loading",
    "Patch": "patches",
    "SparseDelta": "sparse_delta",
    "WeightTensor": "components",
    "apply_patch": "patches",
    "attach": "sparse_delta",
    "bake": "baking",
    "base_parameters": "sparse_delta",
    "capture_patch": "patches",
    "count_per_component": "components",
    "delta_parameters": "sparse_delta",
    "detach": "sparse_delta",
    "eligible_weights": "components",
    "fingerprint": "fingerprints",
    "is_attached": "sparse_delta",
    "load_model": "loading",
    "load_patch": "patches",
    "load_tokenizer": "tokenizer_loading",
    "locate": "components",
    "passing_positions": "filters",
    "read_deltas": "sparse_delta",
    "remove_patch": "patches",
    "save_baked": "baking",
    "save_patch": "patches",
    "write_deltas": "sparse_delta",
    "zero_deltas": "sparse_delta",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'memunlearn.models' has no attribute {name!r}")
    return getattr(import_module(f"memunlearn.models.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
