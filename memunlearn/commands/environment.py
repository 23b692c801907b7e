"""Where a run happens."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import memunlearn

LIBRARIES = ("torch", "lightning", "transformers", "datasets", "hydra-core", "omegaconf", "torchmetrics", "wandb")


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device and the repository's commit (null outside a git checkout), for result.json.

    Asked for before work starts: what is loaded now is what runs, and nothing here can fail when the work is done. A library
    that was not installed as a package (a folder on PYTHONPATH) has no version: null.
    """
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "commit": _commit(),
        "libraries": {"memunlearn": memunlearn.__version__, **{name: _version(name) for name in LIBRARIES}},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
