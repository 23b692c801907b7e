"""Where a run happened."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

LIBRARIES = ("memunlearn", "torch", "lightning", "transformers", "datasets", "hydra-core", "omegaconf", "torchmetrics", "wandb")


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device and the repository's commit (null outside a git checkout), for result.json."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "commit": _commit(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
