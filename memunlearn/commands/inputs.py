"""What train.py and evaluate.py share: the device, the model, the paragraphs."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from hydra.utils import instantiate
from lightning.fabric import Fabric
from omegaconf import DictConfig
from torch import Tensor

from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.demo.model import DemoModelSource
from memunlearn.errors import UserError, is_out_of_memory
from memunlearn.models.adapters import adapter_note
from memunlearn.models.components import eligible_weights
from memunlearn.models.loading import LoadedModel, ModelSource
from memunlearn.models.locations import is_local
from memunlearn.models.text_config import context_length, vocabulary_size
from memunlearn.models.tokenizer_loading import own_tokenizer
from memunlearn.one_process import one_process
from memunlearn.paragraphs.caps import Caps
from memunlearn.paragraphs.own_text import own_of_corpus, own_of_pools
from memunlearn.paragraphs.readers import NeedsTokenizer
from memunlearn.paragraphs.sources import LoadedParagraphs
from memunlearn.paragraphs.splits import ParagraphSets, split_by_em, split_named, split_pools
from memunlearn.scoring.greedy import greedy_continuations


def quiet_libraries() -> None:
    """Leaves warnings that a user can act on, and silences the advice that these settings have already decided."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of kernels that only make it faster
    logging.getLogger("lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric.utilities.seed").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*in eval mode.*",
        ".*exists and is not empty.*",
        ".*LeafSpec.*",
        ".*dirpath has changed.*",
        ".*`training_step` returned `None`.*",
        ".*`srun` command is available.*",
    ):
        warnings.filterwarnings("ignore", message)


def choose_device(accelerator: str) -> torch.device:
    """The first device of this accelerator (auto, cpu, gpu, ...). Raises UserError if there is none."""
    try:
        return Fabric(accelerator=accelerator, devices=1, plugins=one_process()).device
    except Exception as error:  # Lightning raises its own and PyTorch's errors here
        raise UserError(f"accelerator={accelerator} is not to be had here ({error}): use auto or cpu") from error


def is_demo(cfg: DictConfig) -> bool:
    """Whether the model is the embedded demo's."""
    return isinstance(instantiate(cfg.model), DemoModelSource)


def load_inputs(cfg: DictConfig) -> tuple[LoadedModel, LoadedParagraphs]:
    """The model (on the CPU) and the paragraphs, checked against the model's vocabulary and length.

    What can be checked without the model is checked before it is loaded.
    """
    check_source(instantiate(cfg.paragraphs.source))
    loaded = load_configured_model(cfg)
    return loaded, load_paragraphs(cfg.paragraphs.source, loaded)


def load_configured_model(cfg: DictConfig) -> LoadedModel:
    """The model that the config names, on the CPU."""
    source = instantiate(cfg.model)
    check_source(source)
    loaded: LoadedModel = source.load()
    print(f"model: {loaded.name}, {sum(p.numel() for p in loaded.model.parameters()):,} weights", flush=True)
    if (note := adapter_note(loaded.name)) is not None:
        print(f"note: {note}", flush=True)
    no_tokenizer = loaded.tokenizer is None and isinstance(source, ModelSource) and source.tokenizer is None
    if no_tokenizer and (why := own_tokenizer(loaded.name)[1]) is not None:
        print(f"warning: tokens are shown as ids: {why}", flush=True)
    if loaded.patterns is not None:
        eligible_weights(loaded.model, loaded.patterns)  # refused now, not after the corpus is scored
    return loaded


def check_source(source: Any) -> None:
    """What a source of models or paragraphs can tell before anything is loaded. Raises UserError as its `load` does."""
    if hasattr(source, "check"):  # a source of the user's own need not have it
        source.check()


def load_paragraphs(config: DictConfig, loaded: LoadedModel) -> LoadedParagraphs:
    """What this source gives, checked against the model's vocabulary and length."""
    source = instantiate(config)
    check_source(source)
    try:
        paragraphs: LoadedParagraphs = source.load(loaded.tokenizer)
    except NeedsTokenizer as error:
        # A model of the user's own may be called anything.
        why = own_tokenizer(loaded.name)[1] if is_local(loaded.name) else None
        if why is None:
            raise
        raise UserError(f"{error}; the model's own does not load: {why}") from error
    print(f"paragraphs: {paragraphs.description}", flush=True)
    if paragraphs.beginning is not None:
        print(paragraphs.beginning, flush=True)
    for rows in (paragraphs.corpus, paragraphs.memorized, paragraphs.non_memorized):
        check_fits(loaded, rows)
    named = (paragraphs.forget, paragraphs.bystander, paragraphs.retain, paragraphs.protected)
    for rows in (*named, *paragraphs.bins.values()):
        check_fits(loaded, rows)
    return paragraphs


def move(model: torch.nn.Module, device: torch.device, name: str) -> None:
    """The model, called `name`, onto the device. Raises UserError if it does not fit there."""
    try:
        torch.nn.Module.to(model, device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"out of memory: the model {name} does not fit on {device}, at 4 bytes a weight (weights are fp32 here): end "
            "other programs there, take a smaller model, or run on the CPU (trainer.accelerator=cpu for train.py, else "
            "accelerator=cpu)"
        ) from error


def check_fits(loaded: LoadedModel, rows: Any) -> None:
    """Raises UserError if the model cannot read these paragraphs."""
    if rows is None:
        return
    rows.check_vocabulary(vocabulary_size(loaded.model))
    longest = context_length(loaded.model)
    if longest is not None and rows.ids.shape[1] > longest:
        raise UserError(
            f"paragraphs of {rows.ids.shape[1]} tokens are longer than the {longest} that {loaded.name} reads: "
            "set a smaller paragraphs.prefix_length or paragraphs.continuation_length"
        )


def caps_of(cfg: DictConfig) -> Caps:
    group = cfg.paragraphs
    return Caps(group.max_forget, group.max_bystander, group.max_retain, group.get("protect", 0))  # a user's own may lack it


def forgets_own_text(cfg: DictConfig) -> bool:
    """Whether the model's own continuations are to be forgotten. Raises UserError for another word than the two."""
    text = cfg.paragraphs.forget_text
    if text not in ("memorized", "own"):
        raise UserError(f"paragraphs.forget_text={text} is not known: use memorized or own")
    return bool(text == "own")


def split(cfg: DictConfig, measurements: BaseMeasurements, paragraphs: LoadedParagraphs) -> ParagraphSets:
    """Every set of a training run: by name, by origin, or by EM (which takes a pass over the corpus).

    Raises UserError where the model's own continuations are to be forgotten and sets were given by name.
    """
    caps, seed, rows_at_once, own = caps_of(cfg), cfg.seeds.split, 2 * cfg.batch_size, forgets_own_text(cfg)
    length = cfg.paragraphs.continuation_length

    def say(prefixes: Tensor) -> Tensor:
        return greedy_continuations(measurements.model, prefixes, length, rows_at_once, "decoding own text to forget")

    if paragraphs.corpus is not None:
        em = measurements.scores(paragraphs.corpus, rows_at_once, "finding memorized paragraphs").em
        if own:
            return own_of_corpus(paragraphs.corpus, em, seed, caps, say)
        return split_by_em(paragraphs.corpus, em, seed, caps)
    if paragraphs.memorized is not None and paragraphs.non_memorized is not None:
        if own:
            return own_of_pools(paragraphs.memorized, paragraphs.non_memorized, seed, caps, say)
        return split_pools(paragraphs.memorized, paragraphs.non_memorized, seed, caps)
    if own:
        raise UserError(
            "paragraphs.forget_text=own takes prefixes from the non-memorized rows of a corpus, not from sets given by name: "
            "set paragraphs.path=CORPUS, or leave it out"
        )
    named = (paragraphs.forget, paragraphs.bystander, paragraphs.retain)
    return split_named(*named, seed, caps, protected=paragraphs.protected, suspected=paragraphs.suspected)
