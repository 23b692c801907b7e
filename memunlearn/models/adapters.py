"""Adapters (PEFT): a folder that holds a change of another model. It is merged into that model when it is loaded."""

from __future__ import annotations

import json
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from memunlearn.errors import UserError
from memunlearn.paths import expanded

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER = "adapter_config.json"


def is_adapter(folder: Path) -> bool:
    return (folder / ADAPTER).is_file()


def base_of(name: str) -> str | None:
    """The name of the model that the adapter in the folder `name` is for; None if there is no adapter, or it does not say."""
    base = _config(expanded(name)).get("base_model_name_or_path")
    return base if isinstance(base, str) and base else None


def adapter_note(name: str) -> str | None:
    """What there is to say of a model that was loaded from the folder `name`; None if that is no adapter."""
    if not is_adapter(expanded(name)):
        return None
    kind = _config(expanded(name)).get("peft_type", "PEFT")
    return f"{name} is an adapter ({kind}): merged into its base {base_of(name)}, and all that follows is of the merged model"


def check_adapter(name: str) -> None:
    """Raises UserError if the adapter in the folder `name` cannot be merged here."""
    base = base_of(name)
    if find_spec("peft") is None or base is None:
        install = "install peft (pip install peft), and it is merged when it is loaded; or " if base else ""
        raise UserError(merge_first(name, base, install))
    if expanded(base).is_dir() and expanded(base).resolve() == expanded(name).resolve():
        raise UserError(f"{name} is an adapter for itself: name its base in {name}/{ADAPTER} (base_model_name_or_path)")


def merge_first(name: str, base: str | None, install: str = "") -> str:
    """What to do with an adapter that is not merged here. install: another way, if there is one."""
    return (
        f"{name} is a LoRA adapter (PEFT) for {base or 'BASE'}, not a whole model: {install}merge it into its base first, "
        f'where peft is installed: python -c "from peft import AutoPeftModelForCausalLM as M; '
        f"M.from_pretrained({name!r}).merge_and_unload().save_pretrained('MERGED')\" and give model.name_or_path=MERGED"
    )


def merged(base: PreTrainedModel, name: str) -> PreTrainedModel:
    """The base (which is changed) with the adapter in the folder `name` added to its weights.

    Raises UserError if peft cannot read the adapter or merge its kind, and where it does not fit the base.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is missing: it is an error here
            return _merged(base, str(expanded(name)))
    except Exception as error:  # peft raises anything, as the readers of checkpoints do
        raise UserError(
            f"cannot merge the adapter {name} into {base_of(name)} "
            f"({type(error).__name__}: {' '.join(str(error).split())[:300]}): "
            "check that its files are whole and that this is its base, or give a whole checkpoint"
        ) from error


def _merged(base: PreTrainedModel, folder: str) -> PreTrainedModel:
    from peft import PeftModel

    adapted = PeftModel.from_pretrained(base, folder)
    if not hasattr(adapted, "merge_and_unload"):
        raise ValueError("adapters of this kind change no weights, and cannot be merged")
    # Once more for what it tells: weights that are missing, or that have no place, are passed over without an error.
    found: Any = adapted.load_adapter(folder, "default")
    if odd := [key for key in found.missing_keys if ".default" in key] + list(found.unexpected_keys):
        raise ValueError(f"{len(odd)} of its weights are missing or fit nothing, such as {odd[0]}")
    plain: Any = adapted.merge_and_unload(safe_merge=True)
    return cast("PreTrainedModel", plain.eval())


def _config(folder: Path) -> dict[str, Any]:
    """Of the adapter; empty where it cannot be read."""
    try:
        content = json.loads((folder / ADAPTER).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
