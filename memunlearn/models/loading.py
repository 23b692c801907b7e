"""Loading a causal language model and its tokenizer, from a folder or from the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from memunlearn.errors import UserError, is_out_of_memory
from memunlearn.models.adapters import base_of, is_adapter, merged
from memunlearn.models.architectures import check_patterns
from memunlearn.models.checkpoint_dtype import stored_dtype
from memunlearn.models.checkpoint_kinds import check_config, check_folder
from memunlearn.models.load_failures import too_large, why_not
from memunlearn.models.locations import is_local, locate
from memunlearn.models.tokenizer_loading import NONE, load_tokenizer, tokenizer_location
from memunlearn.paths import expanded

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode with fp32 weights, its tokenizer if it has one, and what it was called.

    patterns: where its weights lie if the architecture is not built in (see `eligible_weights`). dtype: of the weights in its
    files.
    """

    model: PreTrainedModel
    tokenizer: Any | None
    name: str
    patterns: Mapping[str, str] | None = None
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class ModelSource:
    """The config group `model`: where a model comes from.

    name_or_path: a folder with a checkpoint or an adapter, or a name on the Hub. tokenizer: the same for the tokenizer, if it
    is not the model's own; `none` for none. Names may be numbers. attn_implementation: as in transformers. patterns: see
    `eligible_weights`.
    """

    name_or_path: str | None
    tokenizer: str | None = None
    revision: str | None = None
    attn_implementation: str | None = None
    patterns: Mapping[str, str] | None = None

    def check(self) -> None:
        """What can be told before anything is loaded. Raises UserError as `load` does."""
        check_location(self._name())
        if self.tokenizer is not None and str(self.tokenizer) != NONE:
            tokenizer_location(str(self.tokenizer))
        if self.patterns is not None:
            check_patterns(self.patterns)

    def load(self) -> LoadedModel:
        """Raises UserError for everything that `load_model` refuses, and for a tokenizer that was asked for and does not load;
        the model's own may be broken: rows of ids need none."""
        self.check()
        name, revision = self._name(), None if self.revision is None else str(self.revision)
        model = load_model(name, self.attn_implementation, revision)
        try:
            tokenizer = load_tokenizer(name, None if self.tokenizer is None else str(self.tokenizer), revision)
        except UserError:
            if self.tokenizer is not None:
                raise
            tokenizer = None
        return LoadedModel(model, tokenizer, name, self.patterns, checkpoint_dtype(name, revision))

    def _name(self) -> str:
        if self.name_or_path is None or not str(self.name_or_path):
            raise UserError("model.name_or_path is not set: add model.name_or_path=DIR, the folder of a checkpoint")
        return str(self.name_or_path)


def load_model(name_or_path: str, attn_implementation: str | None = None, revision: str | None = None) -> PreTrainedModel:
    """The model in evaluation mode, on the CPU, every weight fp32 (checkpoints in other formats are cast); an adapter's is its
    base with the adapter merged into it.

    Raises UserError if the folder or a config is missing, the checkpoint cannot be read, is quantized, lacks weights
    (transformers would fill them in at random) or is of an unknown type, if it does not fit into memory, if an adapter cannot
    be merged, and if the Hub cannot be reached.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    location = check_location(name_or_path)
    if (base := _base_of_adapter(name_or_path)) is not None:
        return merged(load_model(base, attn_implementation), name_or_path)
    if attn_implementation is not None and "/" in attn_implementation:
        raise UserError(
            f"model.attn_implementation={attn_implementation} names code on the Hub, which is never run here: use eager, sdpa "
            "or flash_attention_2"
        )
    try:
        config = AutoConfig.from_pretrained(location, revision=revision, trust_remote_code=False)
        check_config(name_or_path, config)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            location,
            dtype=torch.float32,
            attn_implementation=attn_implementation,
            revision=revision,
            output_loading_info=True,
            trust_remote_code=False,  # without this transformers asks at the terminal
        )
    except UserError:
        raise
    except Exception as error:  # a broken checkpoint makes its reader raise anything: OSError, SafetensorError, KeyError ...
        raise UserError(why_not("model", name_or_path, error, revision)) from error
    model, info = loaded
    missing = sorted(info["missing_keys"])
    if missing:
        raise UserError(
            f"the checkpoint {name_or_path} lacks {len(missing)} weights of a {type(model).__name__}, such as {missing[0]}; "
            "they would be random: save it again as a whole causal language model (a model with deltas: bake it first)"
        )
    try:
        model.float().eval()
    except Exception as error:
        if is_out_of_memory(error):
            raise UserError(too_large(name_or_path)) from error
        raise
    return cast("PreTrainedModel", model)


def checkpoint_dtype(name_or_path: str, revision: str | None = None) -> torch.dtype:
    """In which type a model's files hold its weights; an adapter's: of its base. Raises UserError as `load_model` does."""
    from transformers import AutoConfig

    location = check_location(name_or_path)
    if (base := _base_of_adapter(name_or_path)) is not None:
        return checkpoint_dtype(base)
    try:
        config = AutoConfig.from_pretrained(location, revision=revision, trust_remote_code=False)
        return stored_dtype(name_or_path, config)
    except Exception as error:
        raise UserError(why_not("model", name_or_path, error, revision)) from error


def check_location(name: str) -> str:
    """The folder if there is one, else the name for the Hub. Raises UserError if it can be neither, or holds no model."""
    location = locate(name)
    if is_local(name):
        check_folder(name, expanded(name))
        if (base := _base_of_adapter(name)) is not None:
            check_location(base)
    return location


def _base_of_adapter(name: str) -> str | None:
    """Of the adapter in the folder `name`; None if there is none."""
    return base_of(name) if is_adapter(expanded(name)) else None
