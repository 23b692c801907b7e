"""What train.py refuses before any work."""

from __future__ import annotations

from hydra.utils import instantiate
from omegaconf import DictConfig

from memunlearn.commands.attacking import chosen_attacks
from memunlearn.commands.call import Call
from memunlearn.commands.inputs import caps_of
from memunlearn.commands.mistakes import causes_of
from memunlearn.commands.never_seen import check_unseen
from memunlearn.commands.oracle import check_demo_oracle
from memunlearn.commands.sampling import sampling_of
from memunlearn.commands.search import check_search
from memunlearn.commands.several.devices import check_devices
from memunlearn.commands.step_settings import check_step_settings
from memunlearn.errors import UserError
from memunlearn.localization.weight_attribution import check_attribution
from memunlearn.masks.strategies import AllWeights, MaskStrategy
from memunlearn.models.checkpoint_dtype import DTYPES
from memunlearn.objectives.material import check_objective
from memunlearn.one_process import alone
from memunlearn.paragraphs.batches import protected_rows_a_batch
from memunlearn.paragraphs.retain_text import NO_RETAIN
from memunlearn.paragraphs.sources import FileSource
from memunlearn.unlearning.edits.lora import LoRA
from memunlearn.unlearning.joint import Joint
from memunlearn.unlearning.optimizers import check_optimizer
from memunlearn.unlearning.per_paragraph import NOT_PROTECTED, PerParagraph

OF_CHOSEN_WEIGHTS = ("optimizer.sparse", "optimizer.iterations", "protocol.mask_scope")


def check_run(cfg: DictConfig, call: Call) -> None:
    """Raises UserError for what is not tested or cannot be built, before any work."""
    check_search(cfg, call)
    _check_mask_is_chosen(cfg, call)
    sampling_of(cfg)
    trainer = cfg.trainer
    check_devices(trainer)
    if str(trainer.precision) not in ("32", "32-true", "bf16-mixed"):
        raise UserError(
            f"trainer.precision={trainer.precision}: deltas are trained in fp32, since lower precision rounds small ones away: "
            "use 32-true or bf16-mixed"
        )
    if "stop" not in cfg and trainer.max_steps < 1:
        raise UserError(f"trainer.max_steps={trainer.max_steps} without a stop rule would never end: set 1 or more")
    if cfg.dtype is not None and cfg.dtype not in DTYPES:
        raise UserError(f"dtype={cfg.dtype} is not known: use {', '.join(DTYPES)}, or null for that of the base's files")
    if cfg.save_model and isinstance(instantiate(cfg.protocol), PerParagraph):
        raise UserError(
            "save_model=true with protocol=per_paragraph: every trial has a model of its own; leave it out, and bake a trial's "
            "patch with `python -m memunlearn.models apply`"
        )
    if chosen_attacks(cfg) and isinstance(instantiate(cfg.protocol), PerParagraph):
        raise UserError(
            "attacks=... with protocol=per_paragraph: every trial has a model of its own; leave it out, and attack a trial's "
            "with `python evaluate.py patch=patches/trial_000.safetensors attacks=...`"
        )
    if not isinstance(cfg.callbacks, DictConfig):
        raise UserError(f"callbacks={cfg.callbacks} must be callbacks by name, as in conf/callbacks/default.yaml")
    # Built once for nothing, so that a setting they refuse does not cost a run.
    if cfg.paragraphs.get("protected") is not None or caps_of(cfg).protect:
        protected_rows_a_batch(cfg.batch_size, cfg.paragraphs.get("protected_share", 0.5))
        if isinstance(instantiate(cfg.protocol), PerParagraph):
            raise UserError(NOT_PROTECTED)
    _check_retain(cfg)
    for group in (cfg.protocol, cfg.objective, cfg.attribution, cfg.model, cfg.paragraphs.source):
        instantiate(group)
    check_objective(instantiate(cfg.objective))
    check_attribution(instantiate(cfg.attribution))
    if cfg.get("rehearsal"):
        _check_rehearsal(cfg)
    if cfg.get("stop"):
        if "_target_" not in cfg.stop:
            said = ", ".join(f"stop.{name}" for name in cfg.stop)
            raise UserError(
                f"{said} of an experiment, and no stop rule: leave stop=none or the protocol out, or the experiment"
            )
        instantiate(cfg.stop).least_bystander_em(cfg.paragraphs.continuation_length)
    mask_strategy(cfg)
    for name, build in (("optimizer", _build_optimizer), ("trainer", _build_trainer)):
        try:
            build(cfg)
        except Exception as error:  # PyTorch's and Lightning's checks raise ValueError, TypeError and errors of their own
            for cause in causes_of(error):
                if isinstance(cause, UserError):  # says which setting it is
                    raise cause from None
            raise UserError(f"{name}: {error}: mend {name}=... or its settings") from error
    _check_protocol(cfg)
    check_step_settings(cfg)
    check_demo_oracle(cfg)
    check_unseen(cfg)


def _check_retain(cfg: DictConfig) -> None:
    source = instantiate(cfg.paragraphs.source)
    if isinstance(source, FileSource) and source.forget is not None and source.retain is None:
        raise UserError(NO_RETAIN)


def _check_rehearsal(cfg: DictConfig) -> None:
    if not isinstance(protocol := instantiate(cfg.protocol), Joint | LoRA):
        raise UserError(
            f"rehearsal=relearning goes with protocol=joint or protocol=lora, and {type(protocol).__name__} is neither: leave "
            "rehearsal out"
        )
    instantiate(cfg.rehearsal).check(instantiate(cfg.objective))


def _check_mask_is_chosen(cfg: DictConfig, call: Call) -> None:
    """What only other masks heed, where none was chosen; with mask=all said, a sweep over masks may set it for the others."""
    given = {override.partition("=")[0].lstrip("+"): override for override in call.given}
    if "mask" in given or not isinstance(mask_strategy(cfg), AllWeights):
        return
    protocol = instantiate(cfg.protocol)
    if getattr(protocol, "chooses_weights", False):
        no_effect, ways = f"has no effect on {type(protocol).__name__}, which chooses weights itself: leave it out", {}
    else:
        no_effect = "has no effect on mask=all, the default: leave it out"
        ways = {"attribution": ", or add mask=gradient, whose scores it gives"}
    for key, override in given.items():
        group = key.partition(".")[0]
        fraction = key == "mask.fraction" and cfg.mask.get("fraction") is not None
        if group == "attribution" or key in OF_CHOSEN_WEIGHTS or fraction:
            raise UserError(f"{override} {no_effect}{ways.get(group, ', or add mask=gradient or mask=random' if ways else '')}")


def _check_protocol(cfg: DictConfig) -> None:
    """What a protocol refuses beside it, where it says so: not all have such a check."""
    check = getattr(instantiate(cfg.protocol), "check", None)
    if check is not None:
        stop = instantiate(cfg.stop) if cfg.get("stop") else None
        check(objective=instantiate(cfg.objective), stop=stop, optimizer=instantiate(cfg.optimizer))


def _build_optimizer(cfg: DictConfig) -> None:
    check_optimizer(instantiate(cfg.optimizer))


def _build_trainer(cfg: DictConfig) -> None:
    alone(instantiate(cfg.trainer, _partial_=True))(logger=False, enable_checkpointing=False)


def mask_strategy(cfg: DictConfig) -> MaskStrategy:
    """The config's way to choose weights."""
    strategy: MaskStrategy = instantiate(cfg.mask, _convert_="all")
    return strategy
