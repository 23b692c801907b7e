"""What each stage of a takedown is: an ordinary command with its overrides, in a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from memunlearn.commands.arguments import literal
from memunlearn.commands.call import Call
from memunlearn.commands.configs import CONF
from memunlearn.errors import UserError

CHECKPOINT, PATCH = "model", "patch.safetensors"
# Settings of a search that the training has under `paragraphs`.
READING = ("column", "bos", "prefix_length", "continuation_length", "stride", "min_prefix")
KEPT = ("retain", "bystander", "protected")
# Of the model's settings those that hold for the changed one, too: it lies in another folder, with its tokenizer.
OF_ANY_FOLDER = ("model.attn_implementation", "model.patterns")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """folder: its name within the takedown's. what: what it does, for the terminal. overrides: as one would type them."""

    folder: str
    what: str
    command: str
    overrides: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Stages:
    """In the order in which they run."""

    find: Stage
    unlearn: Stage
    search: Stage
    attack: Stage

    def __iter__(self) -> Any:
        return iter((self.find, self.unlearn, self.search, self.attack))


def stages_of(cfg: DictConfig, call: Call, directory: Path) -> Stages:
    """The stages of this takedown, in this folder. Raises UserError where further settings are none, or the takedown's own."""
    given = list(call.given)
    usual, searched = (OmegaConf.load(CONF / f"{command}.yaml") for command in ("takedown", "find"))
    plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    model = [one for one in given if _group(one) in ("model", "demo")]
    model = model if any(_key(one) == "model" for one in model) else ["model=local", *model]

    def changed(names: Sequence[str], prefix: str = "") -> list[str]:
        """Those of these settings that are not as they always are."""
        return [written(f"{prefix}{name}", plain[name]) for name in names if plain[name] != OmegaConf.select(usual, name)]

    texts, everywhere = plain["texts"], changed(["seed", "cache"])
    batch, place = changed(["batch_size"]), changed(["accelerator"])
    unlearn, checkpoint = directory / "2-unlearn", directory / "2-unlearn" / CHECKPOINT
    search = [written("texts", texts), *changed(READING), f"batch_size={cfg.batch_size}", *everywhere, *place]
    changed_model = ["model=local", written("model.name_or_path", str(checkpoint))]
    changed_model += [one for one in model if _key(one) in OF_ANY_FOLDER]
    kept = [written(f"paragraphs.{name}", plain[name]) for name in KEPT if plain[name] is not None]
    training = ["paragraphs=files", written("paragraphs.forget", texts), *changed(READING, "paragraphs."), *kept]
    # As find measures it: so the first search is known, and is not made again.
    training += ["save_model=true", f"p_z.top_k={searched.p_z.top_k}", *changed(["dtype"]), *everywhere, *batch]
    training += [written("trainer.accelerator", plain["accelerator"])] if place else []
    judging = [
        written("patch", str(unlearn / PATCH)),
        "certificate.write=true",
        *(["certificate.show_texts=true"] if cfg.certificate.show_texts else []),
        written("certificate.search", str(directory / "3-find-after")),
        written("attacks", list(plain.get("attacks") or {})),
        *(one for one in given if _key(one).startswith("attacks.")),
    ]
    return Stages(
        find=Stage(folder="1-find", what="what the model recites of the texts", command="find", overrides=(*model, *search)),
        unlearn=Stage(
            folder=unlearn.name,
            what="the model unlearns what it recites",
            command="train",
            overrides=(*model, *training, *_further(plain["unlearn"], "unlearn", training)),
        ),
        search=Stage(
            folder="3-find-after",
            what="what the changed model still recites",
            command="find",
            overrides=(*changed_model, *search, written("windows", str(directory / "1-find"))),
        ),
        attack=Stage(
            folder="4-attacks",
            what="attempts to get the texts back, and the certificate",
            command="evaluate",
            overrides=(
                *judging,
                *everywhere,
                f"batch_size={cfg.batch_size}",
                *place,
                *_further(plain["evaluate"], "evaluate", judging),
            ),
        ),
    )


def written(key: str, value: Any) -> str:
    """KEY=VALUE so that Hydra reads just this value, lists and mappings too."""
    return f"{key}={_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(_value(one) for one in value)}]"
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if not isinstance(value, str):
        return str(value)
    return literal(value)


def _further(typed: Any, setting: str, own: Sequence[str]) -> list[str]:
    """Further overrides of a stage. Raises UserError where they are no overrides, or say what the takedown says."""
    if not isinstance(typed, list) or not all(isinstance(one, str) and "=" in one for one in typed):
        raise UserError(f"{setting}={typed} must be a list of settings as one types them, such as '{setting}=[batch_size=8]'")
    known = {_key(one) for one in own} | {"hydra.run.dir", "resume", "overwrite", "model", "seed", "cache"}
    for one in typed:
        if _key(one) in known or _group(one) in ("model", "demo"):
            raise UserError(f"{setting}=[{one}]: takedown sets {_key(one)} itself, from its own settings: leave it out there")
    return list(typed)


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _group(override: str) -> str:
    return _key(override).partition(".")[0]
