"""In which type a checkpoint's weights lie in its files: models are read as fp32, whatever that is."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any

import torch
from safetensors import safe_open

from memunlearn.paths import expanded

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Those that a checkpoint is written in, by the name that a setting takes."""

_IN_FILES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def stored_dtype(name: str, config: Any) -> torch.dtype:
    """Of most weights in the safetensors files of the folder `name`; without such files what the config (of transformers) says.

    fp32 for every other type, and where nothing says.
    """
    sizes: Counter[str] = Counter()
    folder = expanded(name)
    for file in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
        with safe_open(file, "pt") as opened:
            for key in opened.keys():
                part = opened.get_slice(key)
                sizes[part.get_dtype()] += prod(part.get_shape())
    if sizes:
        return _IN_FILES.get(sizes.most_common(1)[0][0], torch.float32)
    said = getattr(config, "dtype", None)
    return next((dtype for dtype in _IN_FILES.values() if dtype == said), torch.float32)
