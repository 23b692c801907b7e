"""Loading a causal language model and its tokenizer, from a folder or from the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from memunlearn.errors import UserError, is_out_of_memory
from memunlearn.models.architectures import check_patterns
from memunlearn.models.checkpoint_kinds import check_config, check_folder, why_not_on_the_hub
from memunlearn.paths import expanded

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode with fp32 weights, its tokenizer if it has one, and what it was called.

    patterns: where its weights lie if the architecture is not built in (see `eligible_weights`).
    """

    model: PreTrainedModel
    tokenizer: Any | None
    name: str
    patterns: Mapping[str, str] | None = None


@dataclass(frozen=True)
class ModelSource:
    """The config group `model`: where a model comes from.

    name_or_path: a folder with a checkpoint, or a name on the Hub. tokenizer: the same for the tokenizer, if it is not the
    model's own. Names may be numbers. attn_implementation: as in transformers. patterns: see `eligible_weights`.
    """

    name_or_path: str | None
    tokenizer: str | None = None
    revision: str | None = None
    attn_implementation: str | None = None
    patterns: Mapping[str, str] | None = None

    def check(self) -> None:
        """What can be told before anything is loaded. Raises UserError as `load` does."""
        check_location(self._name())
        if self.tokenizer is not None:
            _tokenizer_location(str(self.tokenizer))
        if self.patterns is not None:
            check_patterns(self.patterns)

    def load(self) -> LoadedModel:
        """Raises UserError for everything that `load_model` and `load_tokenizer` refuse."""
        self.check()
        name, revision = self._name(), None if self.revision is None else str(self.revision)
        model = load_model(name, self.attn_implementation, revision)
        tokenizer = load_tokenizer(name, None if self.tokenizer is None else str(self.tokenizer), revision)
        return LoadedModel(model, tokenizer, name, self.patterns)

    def _name(self) -> str:
        if self.name_or_path is None or not str(self.name_or_path):
            raise UserError("model.name_or_path is not set: add model.name_or_path=DIR, the folder of a checkpoint")
        return str(self.name_or_path)


def load_model(name_or_path: str, attn_implementation: str | None = None, revision: str | None = None) -> PreTrainedModel:
    """The model in evaluation mode, on the CPU, every weight fp32 (checkpoints in other formats are cast).

    Raises UserError if the folder or a config is missing, the checkpoint cannot be read, is quantized, is an adapter, lacks
    weights (transformers would fill them in at random) or is of an unknown type, if it does not fit into memory, and if the
    Hub cannot be reached.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    location = check_location(name_or_path)
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
        raise UserError(_why_not("model", name_or_path, error, revision)) from error
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
            raise UserError(_too_large(name_or_path)) from error
        raise
    return cast("PreTrainedModel", model)


def load_tokenizer(name_or_path: str, tokenizer: str | None = None, revision: str | None = None) -> Any | None:
    """The tokenizer named `tokenizer`, else the model's own; None if the model is a folder without one: runs then show ids.

    Raises UserError if a tokenizer that is there or was asked for does not load.
    """
    from transformers import AutoTokenizer

    if tokenizer is None and _is_local(name_or_path) and not _has_tokenizer(name_or_path):
        return None
    name = tokenizer or name_or_path
    location = _tokenizer_location(name)
    try:
        return AutoTokenizer.from_pretrained(location, revision=None if tokenizer else revision, trust_remote_code=False)
    except Exception as error:
        raise UserError(f"{_why_not('tokenizer', name, error)}; set model.tokenizer to one that loads") from error


def check_location(name: str) -> str:
    """The folder if there is one, else the name for the Hub. Raises UserError if it can be neither, or holds no model."""
    location = _locate(name)
    if _is_local(name):
        check_folder(name, expanded(name))
    return location


def _tokenizer_location(name: str) -> str:
    # transformers makes an empty tokenizer, without a word, out of a folder that has only a config.
    if _is_local(name) and not _has_tokenizer(name):
        raise UserError(f"there is no tokenizer in {name} (none of {', '.join(TOKENIZER_FILES)}): mend model.tokenizer")
    return _locate(name)


def _is_local(name: str) -> bool:
    return expanded(name).is_dir()


def _has_tokenizer(folder: str) -> bool:
    return any((expanded(folder) / file).is_file() for file in TOKENIZER_FILES)


def _locate(name: str) -> str:
    path = expanded(name)
    try:
        if path.is_dir():
            return str(path)
        exists = path.exists()
    except OSError as error:
        raise UserError(f"{name}: cannot be looked at ({error.strerror}): give the folder of a checkpoint") from error
    if exists or name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise UserError(f"there is no folder {name}: give the folder of a checkpoint, or a name on the Hub such as org/model")
    return name


def _too_large(name: str) -> str:
    return (
        f"out of memory: the model {name} does not fit, at 4 bytes a weight (weights are fp32 here): close other programs, "
        "take a machine with more memory, or a smaller model"
    )


def _why_not(what: str, name: str, error: Exception, revision: str | None = None) -> str:
    if is_out_of_memory(error):
        return _too_large(name)
    # Cut short: transformers appends lists of every class that it knows.
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if "trust_remote_code" in str(error):
        return f"the {what} {name} brings code of its own, which is never run here: give one that transformers knows by itself"
    if _is_local(name):
        return (
            f"cannot load the {what} in {name} ({reason}): check that its files are whole (copy them again), that "
            "transformers knows its type, and that model.attn_implementation suits it"
        )
    return why_not_on_the_hub(name, revision) or (
        f"cannot load the {what} {name}: no such folder here, and not from the Hugging Face Hub ({reason}); "
        "without a network point to a local copy: model=local model.name_or_path=DIR"
    )
