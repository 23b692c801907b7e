"""Checkpoints that are no plain causal language model: quantized ones, adapters, single files of other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from memunlearn.errors import UserError
from memunlearn.models.adapters import check_adapter, is_adapter, merge_first

_QUANTIZATION = ("quantization_config", "quantization")  # the latter is MLX's


def check_folder(name: str, folder: Path) -> None:
    """Raises UserError if this folder, called `name`, holds no checkpoint whose weights can be trained, and no adapter."""
    if is_adapter(folder):
        check_adapter(name)
        return
    if not (folder / "config.json").is_file():
        if any(folder.glob("*.gguf")):
            raise UserError(
                f"{name} holds a .gguf file, whose weights are packed for llama.cpp: give the folder of the checkpoint that it "
                "was made from"
            )
        raise UserError(f"the folder {name} has no config.json, so it is no checkpoint: give the folder that holds it")
    _check_quantization(name, _read(folder / "config.json"))


def check_config(name: str, config: Any) -> None:
    """The same from a config of transformers, for what lies on the Hub."""
    _check_quantization(name, config.to_dict())


def why_not_on_the_hub(name: str, revision: str | None) -> str | None:
    """The line for a name on the Hub that turned out to be an adapter; None if it is none, or cannot be looked up."""
    from transformers.utils.peft_utils import find_adapter_config_file

    try:
        file = find_adapter_config_file(name, revision=revision)
    except Exception:  # the Hub is out of reach, which is said anyway
        return None
    if file is None:
        return None
    base = _read(Path(file)).get("base_model_name_or_path")
    return merge_first(name, base if isinstance(base, str) else None)


def _check_quantization(name: str, config: dict[str, Any]) -> None:
    nested = (one for one in config.values() if isinstance(one, dict))
    found = next((one[key] for one in (config, *nested) for key in _QUANTIZATION if one.get(key)), None)
    if found is None:
        return
    method = found.get("quant_method") if isinstance(found, dict) else None
    called = f" ({method})" if isinstance(method, str) else ""
    raise UserError(
        f"{name} is a quantized checkpoint{called}: its packed weights cannot be changed one by one; give the checkpoint that "
        "it was made from, in float32, bfloat16 or float16"
    )


def _read(file: Path) -> dict[str, Any]:
    """The object in a JSON file, empty where it cannot be read: what is wrong with it is said by whoever needs it."""
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
