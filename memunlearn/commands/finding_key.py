"""Everything that a finding of localize.py depends on: by this it is told whether one that lies in the folder is still right.

Keyed is what is used, not what was asked for: rows by their ids, a model by its weights. Left out are the device and the batch
size, as in the cache of base measurements: they change the last digits only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import memunlearn
from memunlearn.analyses.material import Analysis, Material
from memunlearn.caching.keys import Key, digest, tensor_digest
from memunlearn.commands.base_measurements import LIBRARIES, BaseMeasurements

# Beside those of the cache: they draw, resample and rank.
STATISTICS = ("numpy", "scipy", "torchmetrics")


def finding_key(common: Key, name: str, analysis: Analysis, options: Mapping[str, Any]) -> Key:
    """options: those of the analysis, from the resolved config."""
    attribution = getattr(analysis, "attribution", None)
    return {
        **common,
        "analysis": name,
        "version": analysis.version,
        "attribution_version": getattr(attribution, "version", None),
        "options": options,
    }


def has_version(analysis: Analysis) -> bool:
    """Whether a key can tell when its numbers would come out differently: not with an attribution of a user's own."""
    attribution = getattr(analysis, "attribution", None)
    return attribution is None or hasattr(attribution, "version")


def common_key(measurements: BaseMeasurements, material: Material) -> Key:
    """Everything but an analysis and its options."""
    groups = torch.stack([material.memorized, material.non_memorized])
    return {
        "code": code_digest(),
        "libraries": {name: version(name) for name in (*LIBRARIES, *STATISTICS)},
        "model": {"weights": measurements.fingerprint, "architecture": measurements.architecture},
        "eligible": [
            [weight.name, weight.layer, weight.axis, tensor_digest(weight.kinds), tensor_digest(weight.heads)]
            for weight in material.weights
        ],
        "tokenizer": _tokenizer(material.tokenizer),
        "self_generated": material.self_generated,
        "ids": tensor_digest(material.paragraphs.ids),
        "prefix_length": material.paragraphs.prefix_length,
        "text_start": material.paragraphs.text_start,
        "origin": list(material.paragraphs.origin),
        "clusters": tensor_digest(material.clusters),
        "bins": list(material.bins),
        "groups": tensor_digest(groups),
        "frequency": tensor_digest(material.frequency),
        "seed": material.seed,
    }


@cache
def code_digest() -> str:
    """sha256 (hex) over this package's source: results rest on most of it, and no one version tells when it changed."""
    root = Path(memunlearn.__file__).parent
    found = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        found.update(f"{path.relative_to(root).as_posix()} ".encode() + path.read_bytes())
    return found.hexdigest()


def _tokenizer(tokenizer: Any | None) -> str | None:
    """By what it makes of ids: its vocabulary, and, where it can be had, all of its parts."""
    if tokenizer is None:
        return None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return digest([type(tokenizer).__name__, tokenizer.get_vocab(), None if backend is None else backend.to_str()])
