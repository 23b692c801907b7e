"""The candidates of each round, as overrides of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memunlearn.commands.frontier.settings import FrontierSettings
from memunlearn.errors import UserError
from memunlearn.sweeps.frontier.plan import CONFIRMATION, MASKS, TUNING, Candidate

WEIGHT = "objective.forget_weight"
MASK = "mask"


def method_overrides(settings: FrontierSettings) -> dict[str, tuple[str, ...]]:
    """Of each method that was asked for, on the weights that it is tuned on."""
    return {
        method: tuple(overrides) if method in settings.own_weights else merged(settings.weights, overrides)
        for method, overrides in settings.methods.items()
        if settings.only is None or method in settings.only
    }


def tuned(settings: FrontierSettings, forget_weights: Mapping[str, float | None]) -> list[Candidate]:
    """Every method at every strength. forget_weights: by method, `objective.forget_weight` as its config has it.

    Raises UserError for a method without one, of which no strengths were given either, and for strengths that are the same.
    """
    found = []
    for method, overrides in method_overrides(settings).items():
        strengths = settings.strengths_of(method)
        if strengths is None:
            if (weight := forget_weights[method]) is None:
                raise UserError(
                    f"hydra.sweeper.methods.{method} has no {WEIGHT}: give hydra.sweeper.strengths.{method}, a list of "
                    f"{len(settings.factors)} overrides"
                )
            strengths = tuple((f"{WEIGHT}={float(f'{weight * factor:.3g}'):g}",) for factor in settings.factors)
        mask = "" if method in settings.own_weights else _name_of_mask(overrides)
        candidates = [
            Candidate(method, " ".join(one).replace("objective.", ""), mask, merged(overrides, one)) for one in strengths
        ]
        if len({frozenset(candidate.overrides) for candidate in candidates}) < len(candidates):
            raise UserError(
                f"hydra.sweeper.methods.{method} has one strength twice ({', '.join(one.strength for one in candidates)}): "
                "give others in hydra.sweeper.factors or strengths, so that each method has the same tuning budget"
            )
        found += candidates
    return found


def with_masks(settings: FrontierSettings, best: Sequence[Candidate]) -> list[Candidate]:
    """The best methods, as they were best, on each choice of weights."""
    return [
        Candidate(candidate.method, candidate.strength, mask, merged(_without_mask(candidate.overrides), overrides))
        for candidate in best
        for mask, overrides in settings.masks.items()
    ]


def references(settings: FrontierSettings) -> list[Candidate]:
    """What is confirmed whatever was found."""
    return [Candidate(name, "", "", tuple(overrides)) for name, overrides in settings.references.items()]


def number_of_jobs(settings: FrontierSettings) -> dict[str, int]:
    """By round, where methods are tuned, if none of them fails altogether."""
    methods = method_overrides(settings)
    masked = min(settings.best_with_masks, sum(method not in settings.own_weights for method in methods))
    confirmed = min(settings.best_confirmed, len(methods)) + len(settings.references)
    return {
        TUNING: len(methods) * len(settings.factors) * len(settings.tuning_seeds),
        MASKS: masked * len(settings.masks) * len(settings.tuning_seeds),
        CONFIRMATION: confirmed * len(settings.confirmation_seeds),
    }


def merged(*parts: Sequence[str]) -> tuple[str, ...]:
    """All overrides, of those for one key the last."""
    return tuple({override.partition("=")[0]: override for part in parts for override in part}.values())


def _without_mask(overrides: Sequence[str]) -> list[str]:
    """What was set of one mask need not exist for another."""
    return [override for override in overrides if not _is_of_mask(override)]


def _name_of_mask(overrides: Sequence[str]) -> str:
    """`all`, or `gradient fraction=0.05`."""
    return " ".join(one.removeprefix(f"{MASK}=").removeprefix(f"{MASK}.") for one in overrides if _is_of_mask(one))


def _is_of_mask(override: str) -> bool:
    return override.partition("=")[0].partition(".")[0] == MASK
