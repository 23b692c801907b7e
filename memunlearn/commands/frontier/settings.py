"""What `hydra.sweeper` says with experiment=frontier, checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from memunlearn.errors import UserError
from memunlearn.words import counted

Overrides = tuple[str, ...]
Number = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]


# A setting that nobody reads is a mistake.
NO_OTHERS = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=NO_OTHERS)
class TargetSetting:
    """As `memunlearn.sweeps.frontier.plan.Target`."""

    forget_em: Annotated[float, Field(ge=0)]
    longest_run: Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, config=NO_OTHERS)
class FrontierSettings:
    """conf/hydra/sweeper/frontier.yaml says what each is."""

    methods: dict[str, Overrides]
    only: tuple[str, ...] | None
    factors: Annotated[tuple[Number, ...], Field(min_length=1)]
    strengths: dict[str, tuple[Overrides | str, ...]]
    own_weights: tuple[str, ...]
    weights: Overrides
    masks: dict[str, Overrides]
    references: dict[str, Overrides]
    tuning_seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    confirmation_seeds: tuple[Seed, ...]
    best_with_masks: Count
    best_confirmed: Count
    targets: tuple[TargetSetting, ...]
    disruptions: tuple[Number, ...]
    best_of: str | None
    dry_run: bool

    def strengths_of(self, method: str) -> tuple[Overrides, ...] | None:
        """The method's own, each as overrides; None where `factors` are its strengths."""
        own = self.strengths.get(method)
        return None if own is None else tuple((one,) if isinstance(one, str) else one for one in own)


def checked(given: Mapping[str, Any]) -> FrontierSettings:
    """Raises UserError, with the setting's name, where one is of the wrong type, or they do not fit together."""
    try:
        settings = TypeAdapter(FrontierSettings).validate_python(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("tuple[", "function-")))
        raise UserError(f"hydra.sweeper.{place}={first['input']}: {_said(first['msg'])}") from error
    _check_names(settings)
    if settings.best_of == "":
        raise UserError(
            "hydra.sweeper.best_of is empty: name the folder of a finished frontier, whose best methods are to be run"
        )
    for method in settings.only or settings.methods:
        own = settings.strengths_of(method)
        if own is not None and len(own) != len(settings.factors):
            raise UserError(
                f"hydra.sweeper.strengths.{method} has {counted(len(own), 'strength')} and hydra.sweeper.factors "
                f"{len(settings.factors)}: give every method as many, so that each has the same tuning budget"
            )
    if both := set(settings.tuning_seeds) & set(settings.confirmation_seeds):
        raise UserError(
            f"hydra.sweeper.confirmation_seeds has {', '.join(map(str, sorted(both)))}, which hydra.sweeper.tuning_seeds has "
            "too: confirm on seeds that nothing was chosen by"
        )
    for name in ("tuning_seeds", "confirmation_seeds"):
        seeds = getattr(settings, name)
        if len(set(seeds)) != len(seeds):
            raise UserError(f"hydra.sweeper.{name}={list(seeds)} has one seed twice: give each once")
    return settings


def _check_names(settings: FrontierSettings) -> None:
    for name in ("only", "strengths", "own_weights"):
        unknown = [method for method in getattr(settings, name) or () if method not in settings.methods]
        if unknown:
            raise UserError(
                f"hydra.sweeper.{name} names {', '.join(unknown)}: the methods are {', '.join(settings.methods) or 'none'}"
            )
    if not settings.methods and settings.best_of is None:
        raise UserError("hydra.sweeper.methods is empty: choose experiment=frontier, or name methods, each with its overrides")
    if both := settings.methods.keys() & settings.references.keys():
        raise UserError(
            f"hydra.sweeper.references has {', '.join(sorted(both))}, which is a method's name too: choose another name"
        )


def _said(message: str) -> str:
    return message[0].lower() + message[1:].removesuffix(".")
