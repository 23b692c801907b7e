"""What `known_answer` says and draws: every claim follows from the intervals, and nothing from points alone."""

from __future__ import annotations

from collections.abc import Sequence

from memunlearn.analyses.known_answer_comparison import (
    ANOTHER,
    ATTRIBUTIONS,
    CONTROLS,
    UNPLANTED,
    Compared,
    Planting,
    planted_em_and_nll,
)
from memunlearn.localization.known_answer import MAGNITUDE, RANDOM
from memunlearn.statistics.seeds import SEEDS_AT_LEAST
from memunlearn.words import p_value

IN_WORDS = {"scattered": "scattered weights", "mlp": "one layer's MLP", "head": "one attention head"}
CONTROL_IN_WORDS = {
    ANOTHER: "another paragraph",
    MAGNITUDE: "|w|",
    UNPLANTED: "the model before planting",
    RANDOM: "random scores",
}
NO_DEFAULT = (
    "This does not choose the default attribution of train.py: finding planted weights is not the same as unlearning well."
)


def sentences(compared: Sequence[Compared], plantings: Sequence[Planting]) -> tuple[str, ...]:
    """The verdict, one sentence a plant, and how far planting went."""
    plants = list(dict.fromkeys(one.plant for one in compared))
    of_plants = (_plant_sentence([one for one in compared if one.plant == plant], plantings) for plant in plants)
    return (_verdict(compared), *of_plants, _planting_sentence(compared, plantings), NO_DEFAULT)


def _verdict(compared: Sequence[Compared]) -> str:
    tested = [one for one in compared if one.can_tell]
    if not tested:
        if not any(one.seeds for one in compared):
            return "No planted model could be scored, so nothing can be said about what the attributions find."
        return f"Too few plantings for a verdict: one needs {SEEDS_AT_LEAST} seeds scored at a level; these are points."
    parts = []
    for name in ATTRIBUTIONS:
        mine = [one for one in tested if one.attribution == name]
        found = [
            f"{IN_WORDS[plant]} at {sum(one.finds for one in mine if one.plant == plant)} of "
            f"{sum(one.plant == plant for one in mine)}"
            for plant in dict.fromkeys(one.plant for one in mine if one.finds)
        ]
        if found:
            parts.append(f"{name} finds {_and(found)} tested levels")
    against = (
        f"above every control ({', '.join(CONTROL_IN_WORDS[name] for name in CONTROLS)}; AUPRC paired by planting, p below "
        f"0.05 against each, corrected for all {len(tested) * len(CONTROLS)} comparisons)"
    )
    if not parts:
        return f"None of the attributions finds any plant: at no level is one {against}."
    silent = [name for name in ATTRIBUTIONS if not any(part.startswith(f"{name} finds") for part in parts)]
    rest = f"; {_and(silent)} find{'s' * (len(silent) == 1)} none" if silent else ""
    return f"Counting what stands {against}: {'; '.join(parts)}{rest}."


def _plant_sentence(compared: Sequence[Compared], plantings: Sequence[Planting]) -> str:
    plant = next(one for one in plantings if one.answer.plant == compared[0].plant)
    name = (
        f"{IN_WORDS[compared[0].plant]} ({plant.k:,} of {plant.eligible:,} weights, AUPRC {share(plant.chance('auprc'))} by "
        "chance)"
    )
    scored = [one for one in compared if one.seeds]
    if not scored:
        return f"{capital(name)}: no planted model could be scored."
    level = min(one.level for one in scored)
    at = [one for one in scored if one.level == level]
    values = ", ".join(_value(one) for one in at)
    knows_nothing = at[0].controls[MAGNITUDE]["auprc"].value
    return (
        f"{capital(name)}: AUPRC at {level_in_words(at[0])} over {_count(at[0].seeds, 'seed')}: {values}; |w|, which knows no "
        f"paragraph, {share(knows_nothing)}; how far each weight moved, the ceiling, {share(at[0].ceiling['auprc'].value)}."
    )


def _planting_sentence(compared: Sequence[Compared], plantings: Sequence[Planting]) -> str:
    """How many runs there were, how many of their models were scored and what these recite, and why the others were not."""
    trials = [one for one in plantings if one.answer.level is not None]
    runs = len({(one.answer.plant, one.seed) for one in trials})
    ended = len({(one.answer.plant, one.seed) for one in trials if one.answer.outcome in ("planted", "passed over")})
    scored = [one.answer for one in trials if one.answer.is_planted]
    lowest = min(one.level for one in compared)
    levels = sorted({answer.level for answer in scored if answer.level is not None}, reverse=True)
    means = [(level, *planted_em_and_nll([answer for answer in scored if answer.level == level])) for level in levels]
    of_levels = _and([f"EM {em:.1f} and NLL {nll:.2g} at level {level:g}" for level, em, nll in means]) if means else ""
    passed_over = sum(one.answer.outcome == "passed over" for one in trials)
    return (
        f"{_count(runs, 'training run')}, {_count(len(scored), 'planted model')} scored: {ended} of {runs} recite every "
        f"planted paragraph at the lowest level, {lowest:g} nats per token"
        + f"; the models scored have a mean planted {of_levels}" * bool(means)
        + f"; {_count(passed_over, 'level')} passed over in one step" * bool(passed_over)
        + "; the other runs are not scored at any level" * (ended < runs)
        + "."
    )


def notes(plantings: Sequence[Planting], self_generated: bool) -> tuple[str, ...]:
    """What a reader must know beside the sentences."""
    said = [
        "Truth: all weights that were free to move in the planting, however far they did; every other weight is bit-identical "
        "to the model's.",
        "Controls: the same attribution of another paragraph, which nobody planted, in the same planted model; |w|; the same "
        "attribution of the planted paragraph in the model before planting; random scores. What they find as well, planting "
        "made large or loud, whatever the paragraph: a find is counted only above each of them.",
        "p-values: one-sided, of differences in AUPRC paired by planting seed, from flipped signs; corrected for all "
        "attributions, plants, levels and controls at once (max-T). Each interval is a 95 % one and is not corrected.",
    ]
    if self_generated:
        said.append(
            "The continuations are the model's own output, which it recites already: a planted paragraph is a prefix with the "
            "continuation of another row."
        )
    said += _not_scored(plantings)
    kept = [one for one in plantings if one.answer.is_planted and one.answer.retain_nll is not None]
    if kept:
        before = {one.seed: one.answer.retain_nll for one in plantings if one.answer.level is None}
        rises = [(one.answer.retain_nll or 0) - (before[one.seed] or 0) for one in kept]
        said.append(
            f"What planting did to other text: NLL of the retain rows changed by {min(rises):+.2f} to {max(rises):+.2f} nats "
            "per token."
        )
    return tuple(said)


def _not_scored(plantings: Sequence[Planting]) -> list[str]:
    """A note for each run that did not end recited, and for each level passed over."""
    said: dict[tuple[str, int, float | None], str] = {}
    for one in plantings:
        answer = one.answer
        stands = f"NLL {float(answer.nll.mean()):.3f}, EM {', '.join(map(str, answer.em.tolist()))}"
        run = f"{IN_WORDS[answer.plant]} ({one.place}), seed {one.seed}"
        if answer.outcome == "passed over":
            said[answer.plant, one.seed, answer.level] = (
                f"Passed over: {run}, level {answer.level:g} nats per token: {stands} after {_count(answer.steps, 'step')}."
            )
        elif answer.outcome in ("not recited at the end", "lowest level not reached"):
            said[answer.plant, one.seed, None] = (
                f"{capital(answer.outcome)}: {run}: {stands} after {_count(answer.steps, 'step')}; "
                "none of its levels is scored."
            )
    return list(said.values())


def share(value: float | None) -> str:
    """Two significant digits: 0.31, 0.0052."""
    return "-" if value is None else f"{value:.2g}"


def _value(one: Compared) -> str:
    planted, another = one.planted["auprc"], one.controls[ANOTHER]["auprc"]
    ends = "" if planted.interval is None else " [{}, {}]".format(*map(share, planted.interval))
    against = f"another paragraph {share(another.value)}"
    if one.strongest is not None:
        against += f"; {p_value(one.p[one.strongest])} against {CONTROL_IN_WORDS[one.strongest]}"
    return f"{one.attribution} {share(planted.value)}{ends} ({against})"


def level_in_words(one: Compared) -> str:
    return f"level {one.level:g} (planted NLL {share(one.nll)} nats per token, EM {one.em:.1f})"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def capital(text: str) -> str:
    return text[0].upper() + text[1:]
