"""What an entry of the cache depends on, as text and as a hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

Key = Mapping[str, Any]
"""Everything that decides the content of an entry, as JSON holds it. The order of the names is without meaning."""


def canonical(key: Any) -> str:
    """The one way of writing this content as JSON. Raises TypeError or ValueError for what JSON cannot hold, such as NaN."""
    return json.dumps(key, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(key: Any) -> str:
    """sha256 (hex) of the canonical text."""
    return hashlib.sha256(canonical(key).encode()).hexdigest()


def tensor_digest(tensor: Tensor) -> str:
    """sha256 (hex) over type, shape and bytes; wherever the tensor lies, and however its rows lie in memory."""
    values = tensor.detach().cpu().contiguous()
    found = hashlib.sha256(f"{values.dtype} {list(values.shape)} ".encode())
    found.update(values.numpy().data)
    return found.hexdigest()
