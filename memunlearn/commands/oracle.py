"""The oracle of a run: a model that was trained the same way without the rows to be forgotten, to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from transformers import PreTrainedModel

from memunlearn.commands.inputs import check_fits, is_demo, move
from memunlearn.demo.oracle import DemoOracle
from memunlearn.errors import UserError
from memunlearn.models.fingerprints import fingerprint
from memunlearn.models.loading import LoadedModel, check_location, load_model
from memunlearn.models.patches import Patch
from memunlearn.models.sparse_delta import base_parameters
from memunlearn.models.text_config import vocabulary_size
from memunlearn.models.tokenizer_loading import own_tokenizer
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.results.old_names import TARGET

PER_PARAGRAPH = "memunlearn.unlearning.per_paragraph.PerParagraph"


@dataclass(frozen=True)
class ReferenceModels:
    """The setting `reference`: folders of checkpoints, or names on the Hub; None where none is given."""

    base: str | None = None
    oracle: str | None = None
    second_oracle: str | None = None

    @staticmethod
    def of(cfg: DictConfig) -> ReferenceModels:
        """reference=DIR is the base. A command without the setting has none. Raises UserError for anything else."""
        given = cfg.get("reference")
        plain: Any = OmegaConf.to_container(given) if OmegaConf.is_config(given) else given
        if not isinstance(plain, Mapping):
            plain = {"base": plain}
        names = [field.name for field in fields(ReferenceModels)]
        for name, value in plain.items():
            if name not in names:
                raise UserError(f"reference.{name} is not known: use {', '.join(f'reference.{one}' for one in names)}")
            if value is not None and (isinstance(value, bool) or not isinstance(value, str | int | float)):
                raise UserError(f"reference.{name}={value} must be text: give the folder of one checkpoint")
        return ReferenceModels(**{name: None if value is None else str(value) for name, value in plain.items()})


def wants_oracle(cfg: DictConfig) -> bool:
    """Whether an oracle is to be compared with."""
    return _of_demo(cfg) or ReferenceModels.of(cfg).oracle is not None


def check_oracle(cfg: DictConfig, patch: Patch | None) -> None:
    """What can be told of the settings before a model is loaded. Raises UserError where no oracle can be had with them.

    patch: that of patch=.
    """
    given = ReferenceModels.of(cfg)
    if given.second_oracle is not None and given.oracle is None:
        raise UserError("reference.second_oracle is there to be compared with an oracle: set reference.oracle=DIR as well")
    if not wants_oracle(cfg):
        return
    setting = "demo.oracle=true" if given.oracle is None else f"reference.oracle={given.oracle}"
    instead = "set demo.oracle=false" if given.oracle is None else "leave it out"
    if given.oracle is not None and _of_demo(cfg):
        raise UserError(f"demo.oracle=true and {setting} both name an oracle: set demo.oracle=false, or leave the other out")
    check_demo_oracle(cfg)
    if patch is None:
        raise UserError(f"{setting} is compared with what a patch has unlearned: add patch=FILE, or {instead}")
    if patch.roles is None or not patch.roles.rows.get("forget"):
        raise UserError(
            f"{setting}: {cfg.patch} does not say which rows were to be forgotten (an older version made it, or a notebook), "
            f"and an oracle is a model without these: make the patch anew, or {instead}"
        )
    protocol = patch.config.get("protocol")
    if isinstance(protocol, Mapping) and protocol.get(TARGET) == PER_PARAGRAPH:
        raise UserError(
            f"{setting}: {cfg.patch} is a trial of protocol=per_paragraph, about one paragraph: an oracle is compared with a "
            f"patch of a joint run; {instead}"
        )
    if forgot_own_text(patch):
        raise UserError(
            f"{setting}: this run forgot the model's own continuations (paragraphs.forget_text=own), which no model was "
            f"trained on, so no oracle is without them: {instead}"
        )
    for name in (given.oracle, given.second_oracle):
        if name is not None:
            check_location(name)


def forgot_own_text(patch: Patch) -> bool:
    """Whether the patch's run forgot the model's own continuations, not text that it was trained on."""
    paragraphs = patch.config.get("paragraphs")
    return isinstance(paragraphs, Mapping) and paragraphs.get("forget_text") == "own"


def check_demo_oracle(cfg: DictConfig) -> None:
    """Raises UserError where the demo's oracle is asked for another model."""
    if _of_demo(cfg) and not is_demo(cfg):
        raise UserError(
            "demo.oracle=true is for model=demo: set demo.oracle=false, and give evaluate.py the folder of an oracle of your "
            "model with reference.oracle=DIR"
        )


def oracle_of(cfg: DictConfig, forget_rows: ParagraphSet, loaded: LoadedModel) -> LoadedModel | None:
    """The run's oracle, on the device of `loaded`; None where none is asked for (`demo.oracle`, `reference.oracle`).

    forget_rows: every forget row of the run. loaded: the model that was unlearned, with or without its patch. The demo's is
    built at first use. Raises UserError where what is given is no oracle of this model.
    """
    if not wants_oracle(cfg):
        return None
    given = ReferenceModels.of(cfg).oracle
    return _on_its_device(_demo_oracle(cfg, forget_rows) if given is None else _own(given, forget_rows, loaded), loaded)


def second_oracle_of(cfg: DictConfig, forget_rows: ParagraphSet, loaded: LoadedModel) -> LoadedModel | None:
    """Another oracle, trained with another seed; None where there is none. As `oracle_of`."""
    if not wants_oracle(cfg):
        return None
    given = ReferenceModels.of(cfg)
    if given.oracle is None:
        return _on_its_device(_demo_oracle(cfg, forget_rows, another=True), loaded)
    return None if given.second_oracle is None else _on_its_device(_own(given.second_oracle, forget_rows, loaded), loaded)


def _of_demo(cfg: DictConfig) -> bool:
    return bool(cfg.demo.get("oracle", False))  # a run that an earlier version kept may lack it


def _demo_oracle(cfg: DictConfig, forget_rows: ParagraphSet, another: bool = False) -> LoadedModel:
    return DemoOracle(instantiate(cfg.demo), forget_rows.ids, another).load()


def _own(name: str, forget_rows: ParagraphSet, loaded: LoadedModel) -> LoadedModel:
    """The user's. Raises UserError where it does not read the ids of `loaded`."""
    model = load_model(name)
    if vocabulary_size(model) != vocabulary_size(loaded.model):
        raise UserError(
            f"the oracle {name} has a vocabulary of {vocabulary_size(model)}, {loaded.name} one of "
            f"{vocabulary_size(loaded.model)}: give a model that was trained on the same token ids"
        )
    tokenizer, _ = own_tokenizer(name)
    if tokenizer is not None and loaded.tokenizer is not None and tokenizer.get_vocab() != loaded.tokenizer.get_vocab():
        raise UserError(
            f"the oracle {name} has another tokenizer than {loaded.name}: the same ids are other text there; give a model that "
            "was trained on the same token ids"
        )
    if fingerprint(model) == fingerprint(loaded.model):
        raise UserError(
            f"the oracle {name} has the very weights of {loaded.name}: give a model that never saw the forgotten rows"
        )
    shapes, own_shapes = (_shapes(one) for one in (model, loaded.model))
    if shapes != own_shapes:
        odd = sorted(shapes.items() ^ own_shapes.items())[0][0]
        raise UserError(
            f"the oracle {name} is built otherwise than {loaded.name} (weight {odd}): give a model that was trained in the "
            "same way"
        )
    oracle = LoadedModel(model, tokenizer, name)
    check_fits(oracle, forget_rows)
    return oracle


def _shapes(model: PreTrainedModel) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in base_parameters(model).items()}


def _on_its_device(oracle: LoadedModel, loaded: LoadedModel) -> LoadedModel:
    move(oracle.model, loaded.model.device, oracle.name)
    return oracle
