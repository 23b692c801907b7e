"""What `known_answer` says, its numbers, table and notes: every claim follows from the intervals, nothing from points alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from memunlearn.analyses.known_answer.charts import IN_WORDS, charts, level_in_words, share
from memunlearn.analyses.known_answer.compare import ANOTHER, ATTRIBUTIONS, CONTROLS, UNPLANTED, Compared, planted_em_and_nll
from memunlearn.analyses.known_answer.measure import MEASURES, Planting
from memunlearn.localization.known_answer import MAGNITUDE, MOVED, RANDOM, Answer
from memunlearn.localization.labelled import Table, columns_of
from memunlearn.results.finding import Finding
from memunlearn.statistics.seeds import SEEDS_AT_LEAST
from memunlearn.words import capital, counted, listed, p_value

OVER_SEEDS = "planting seeds (other weights, other paragraphs), Student's t: conditional on this model and these paragraphs"
CONTROL_IN_WORDS = {
    ANOTHER: "another paragraph",
    MAGNITUDE: "|w|",
    UNPLANTED: "the model before planting",
    RANDOM: "random scores",
}
NO_DEFAULT = (
    "This does not choose the default attribution of train.py: finding planted weights is not the same as unlearning well."
)


def tell(
    compared: Sequence[Compared], plantings: Sequence[Planting], seeds: int, planted: int, self_generated: bool
) -> Finding:
    return Finding(
        name="known_answer",
        title="Known answer: does localization find weights that are known to hold a paragraph?",
        sentences=_sentences(compared, plantings),
        unit=OVER_SEEDS,
        numbers={"seeds": seeds, "planted_rows": planted} | _numbers(compared, plantings),
        tables={"known_answer": _table(plantings)},
        charts=charts(compared, plantings),
        notes=_notes(plantings, self_generated),
    )


def _sentences(compared: Sequence[Compared], plantings: Sequence[Planting]) -> tuple[str, ...]:
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
            parts.append(f"{name} finds {listed(found)} tested levels")
    against = (
        f"above every control ({', '.join(CONTROL_IN_WORDS[name] for name in CONTROLS)}; AUPRC paired by planting, p below "
        f"0.05 against each, corrected for all {len(tested) * len(CONTROLS)} comparisons)"
    )
    if not parts:
        return f"None of the attributions finds any plant: at no level is one {against}."
    silent = [name for name in ATTRIBUTIONS if not any(part.startswith(f"{name} finds") for part in parts)]
    rest = f"; {listed(silent)} find{'s' * (len(silent) == 1)} none" if silent else ""
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
        f"{capital(name)}: AUPRC at {level_in_words(at[0])} over {counted(at[0].seeds, 'seed')}: {values}; |w|, which knows no "
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
    of_levels = listed([f"EM {em:.1f} and NLL {nll:.2g} at level {level:g}" for level, em, nll in means]) if means else ""
    passed_over = sum(one.answer.outcome == "passed over" for one in trials)
    return (
        f"{counted(runs, 'training run')}, {counted(len(scored), 'planted model')} scored: {ended} of {runs} recite every "
        f"planted paragraph at the lowest level, {lowest:g} nats per token"
        + f"; the models scored have a mean planted {of_levels}" * bool(means)
        + f"; {counted(passed_over, 'level')} passed over in one step" * bool(passed_over)
        + "; the other runs are not scored at any level" * (ended < runs)
        + "."
    )


def _notes(plantings: Sequence[Planting], self_generated: bool) -> tuple[str, ...]:
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
                f"Passed over: {run}, level {answer.level:g} nats per token: {stands} after {counted(answer.steps, 'step')}."
            )
        elif answer.outcome in ("not recited at the end", "lowest level not reached"):
            said[answer.plant, one.seed, None] = (
                f"{capital(answer.outcome)}: {run}: {stands} after {counted(answer.steps, 'step')}; "
                "none of its levels is scored."
            )
    return list(said.values())


def _value(one: Compared) -> str:
    planted, another = one.planted["auprc"], one.controls[ANOTHER]["auprc"]
    ends = "" if planted.interval is None else " [{}, {}]".format(*map(share, planted.interval))
    against = f"another paragraph {share(another.value)}"
    if one.strongest is not None:
        against += f"; {p_value(one.p[one.strongest])} against {CONTROL_IN_WORDS[one.strongest]}"
    return f"{one.attribution} {share(planted.value)}{ends} ({against})"


def _numbers(compared: Sequence[Compared], plantings: Sequence[Planting]) -> dict[str, Any]:
    """By plant: k, chance, and by level how the planting went and what each attribution found; JSON-able."""
    levels = [one.answer for one in plantings if one.answer.level is not None]
    runs = {(one.answer.plant, one.seed) for one in plantings}
    numbers: dict[str, Any] = {
        "eligible": plantings[0].eligible,
        "training_runs": len(runs),
        "states_scored": sum(answer.is_planted for answer in levels),
        "plants": {},
    }
    for one in compared:
        of_plant = [planting for planting in plantings if planting.answer.plant == one.plant]
        first = of_plant[0]
        chances = {"auprc_by_chance": first.chance("auprc"), "recall_by_chance": first.chance("recall_at_k")}
        plant = numbers["plants"].setdefault(one.plant, {"k": first.k} | chances | {"levels": {}})
        at_level = [planting.answer for planting in of_plant if planting.answer.level == one.level]
        level = plant["levels"].setdefault(f"{one.level:g}", _how_planting_went(at_level))
        level["attributions"][one.attribution] = _entries(one)
        level["ceiling"] = {measure: one.ceiling[measure].value for measure in MEASURES}
    return numbers


def _how_planting_went(answers: Sequence[Answer]) -> dict[str, Any]:
    """em, nll, steps: of the scored models; None where there is none."""
    scored = [answer for answer in answers if answer.is_planted]
    passed_over = sum(answer.outcome == "passed over" for answer in answers)
    em, nll = planted_em_and_nll(scored)
    return {
        "seeds": len(answers),
        "planted": len(scored),
        "passed_over": passed_over,
        "not_planted": len(answers) - len(scored) - passed_over,
        "em": em,
        "nll": nll,
        "steps": float(np.mean([answer.steps for answer in scored])) if scored else None,
        "attributions": {},
    }


def _entries(one: Compared) -> dict[str, Any]:
    """p: by control, corrected; strongest_control: the one with the largest."""
    entries: dict[str, Any] = {
        "finds": one.finds if one.can_tell else None,
        "strongest_control": one.strongest,
        "p": dict(one.p),
    }
    for measure in MEASURES:
        means = {"": one.planted[measure]}
        for control in CONTROLS:
            means[f"_{control}"] = one.controls[control][measure]
            means[f"_over_{control}"] = one.over[control][measure]
        for suffix, mean in means.items():
            entries[f"{measure}{suffix}"] = mean.value
            entries[f"{measure}{suffix}_ci"] = None if mean.interval is None else list(mean.interval)
    return entries


def _table(plantings: Sequence[Planting]) -> Table:
    """One row per plant, seed, level (None: the unplanted base model), attribution and paragraph that it looked for.

    paragraph: "planted", "another" (not planted), or "none" (random scores, |w|, and |w - w of the base model|, the ceiling).
    state: the level's `Outcome`.
    """
    rows: list[dict[str, Any]] = []
    for one in plantings:
        answer = one.answer
        looked = {(name, "planted"): answer.found.get(name) for name in ATTRIBUTIONS}
        looked |= {(name, ANOTHER): answer.other.get(name) for name in ATTRIBUTIONS}
        looked |= {(RANDOM, "none"): answer.found.get(RANDOM), (MAGNITUDE, "none"): answer.magnitude}
        if answer.level is not None:
            looked[MOVED, "none"] = answer.moved
        for (attribution, paragraph), found in looked.items():
            rows.append(
                {
                    "plant": answer.plant,
                    "place": one.place,
                    "seed": one.seed,
                    "level": answer.level,
                    "state": answer.outcome,
                    "attribution": attribution,
                    "paragraph": paragraph,
                    "auprc": None if found is None else found.auprc,
                    "recall_at_k": None if found is None else found.recall_at_k,
                    "auprc_by_chance": one.chance("auprc"),
                    "recall_by_chance": one.chance("recall_at_k"),
                    "k": one.k,
                    "eligible": one.eligible,
                    "planted_em": float(answer.em.double().mean()),
                    "planted_em_lowest": int(answer.em.min()),
                    "planted_nll": float(answer.nll.mean()),
                    "retain_nll": answer.retain_nll,
                    "steps": answer.steps,
                }
            )
    return columns_of(rows)
