"""What the trials say, their numbers, table and notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memunlearn.analyses.known_answer.charts import IN_WORDS
from memunlearn.analyses.known_answer.compare import Mean
from memunlearn.analyses.known_answer.relearning.charts import WEIGHTS_IN_WORDS
from memunlearn.analyses.known_answer.relearning.compare import Forgot, mean_of
from memunlearn.analyses.known_answer.relearning.measure import TRUE, Relearning, Trial
from memunlearn.localization.labelled import Table, columns_of
from memunlearn.statistics.seeds import SEEDS_AT_LEAST
from memunlearn.words import capital, counted, listed, number, p_value, signed

# Two-sided p of flipped signs: 2 / 2^5 is above 0.05, whatever the plantings show.
VERDICT_AT_LEAST = 6


def sentences(compared: Sequence[Forgot]) -> tuple[str, ...]:
    """The verdict; a sentence a plant; and what this much training teaches a model that never knew the paragraphs."""
    plants = list(dict.fromkeys(one.plant for one in compared if one.plant is not None))
    of_plants = (_plant_sentence([one for one in compared if one.plant == plant]) for plant in plants)
    return (_verdict(compared), *of_plants, _never_sentence(compared))


def _verdict(compared: Sequence[Forgot]) -> str:
    question = "Forgetting through the true weights against other weights"
    tested = [one for one in compared if one.plant is not None and any(back.p is not None for back in one.back)]
    most = max((one.forgotten for one in compared if one.weights == TRUE), default=0)
    if not most:
        return f"{question}: no planted paragraphs were forgotten through the true weights, so nothing can be compared."
    if not tested or most < VERDICT_AT_LEAST:
        return f"{question}: too few plantings for a verdict, which needs {VERDICT_AT_LEAST} seeds; these are points."
    tests = sum(back.p is not None for one in tested for back in one.back)
    by = f"(other half's EM after relearning, paired by planting, two-sided, corrected for all {tests} comparisons)"
    different = [one for one in tested if one.differs]
    if not different:
        return f"{question}: no difference in how well it holds could be told {by}."
    parts = [_difference(one) for one in different]
    same = len(tested) - len(different)
    rest = f"; no difference could be told from the other {counted(same, 'choice')} of weights" if same else ""
    return f"{question} {by}: {'; '.join(parts)}{rest}."


def _difference(one: Forgot) -> str:
    back = min((back for back in one.back if back.p is not None), key=lambda back: (back.p or 0.0, -back.steps))
    change = back.over_true.value or 0.0
    holds = "holds better than" if change > 0 else "holds worse than"
    return (
        f"in {IN_WORDS[one.plant or '']} it {holds} through {WEIGHTS_IN_WORDS[one.weights]} ({signed(change, 1)} tokens come "
        f"back through these after {counted(back.steps, 'step')}, {p_value(back.p)})"
    )


def _plant_sentence(compared: Sequence[Forgot]) -> str:
    name, planted = IN_WORDS[compared[0].plant or ""], max(one.planted for one in compared)
    told = [one for one in compared if one.forgotten]
    failed = [one for one in compared if one.forgotten < one.planted]
    if not told:
        return f"{capital(name)}: nothing that was planted was forgotten, so nothing was taught again."
    values = ", ".join(
        f"{WEIGHTS_IN_WORDS[one.weights]} {_em(one.worst.em)} (step {one.worst.steps}; forgotten in {number(one.steps.value)} "
        f"steps, KL on other text {number(one.other_kl.value)})"
        for one in told
    )
    not_all = ""
    if failed:
        not_all = "; not forgotten in every planting through " + listed([WEIGHTS_IN_WORDS[one.weights] for one in failed])
    return (
        f"{capital(name)}, {counted(planted, 'planting')}: EM of the other half at the step of relearning that brings most "
        f"back, by the weights used to forget: {values}{not_all}."
    )


def _never_sentence(compared: Sequence[Forgot]) -> str:
    never = next(one for one in compared if one.plant is None)
    return (
        f"The model that never learned the paragraphs, taught the same half in the same way: EM of the other half "
        f"{_em(never.worst.em)} after {never.worst.steps} steps (of the taught half {_em(never.worst.taught)}): what comes "
        "back beyond that was hidden, not gone."
    )


def _em(mean: Mean) -> str:
    ends = "" if mean.interval is None else f" [{mean.interval[0]:.1f}, {mean.interval[1]:.1f}]"
    return f"{mean.value:.1f}{ends}" if mean.value is not None else "-"


def notes(trials: Sequence[Trial], relearning: Relearning) -> tuple[str, ...]:
    """How it was done, and which plantings are missing."""
    forgetting, half = relearning.forgetting, relearning.planted // 2
    said = [
        f"Forgetting and relearning: each planting teaches {relearning.planted} new paragraphs, one a cluster, through the "
        f"plant. All are forgotten (Demote, Adam, learning rate {forgetting.learning_rate:g}, through all weights "
        f"{relearning.forgetting_all.learning_rate:g}, until their mean EM is at most "
        f"{forgetting.forget_em:g}, or {counted(forgetting.max_steps, 'step')}) through the plant's own weights, as many that "
        f"each attribution ranks first, as many random ones, and all eligible ones. Then {half} of them are taught again "
        f"(AdamW, learning rate {relearning.learning_rate:g}, all eligible weights), and the other "
        f"{relearning.planted - half} are measured. After Lacuna (arXiv 2607.02513).",
        "Forgetting stops at the same EM whatever the weights; how far it went beyond the first wrong token, and at what cost "
        "to other text, is not the same: see the steps and the KL. Each interval is a 95 % one and is not corrected.",
    ]
    for one in trials:
        if one.plant is not None and not one.course:
            where = f"{IN_WORDS[one.plant]} ({one.place}), seed {one.seed}"
            if one.forgotten is None:
                said.append(f"Not planted: {where}: {relearning.planted} paragraphs were not recited in the end; left out.")
            else:
                em = mean_of(one.forgotten.em)
                said.append(
                    f"Not forgotten: {where}, through {WEIGHTS_IN_WORDS[one.weights]}: EM {em:.1f} after "
                    f"{counted(one.forgotten.steps, 'step')}; left out."
                )
    return tuple(said)


def numbers(compared: Sequence[Forgot], trials: Sequence[Trial]) -> dict[str, Any]:
    """By plant (`never_planted` beside them) and weights; JSON-able."""
    told: dict[str, Any] = {}
    for one in compared:
        of_plant = told.setdefault(one.plant or "never_planted", {})
        k = next((trial.k for trial in trials if (trial.plant, trial.weights) == (one.plant, one.weights)), None)
        back = {
            str(back.steps): _entry("em", back.em)
            | _entry("longest_run", back.longest_run)
            | _entry("taught_em", back.taught)
            | _entry("em_over_true", back.over_true)
            | {"p": back.p}
            for back in one.back
        }
        if one.plant is None:
            of_plant["relearned"] = back
            continue
        of_plant[one.weights] = (
            {"k": k, "planted": one.planted, "forgotten": one.forgotten}
            | _entry("in_plant", one.in_plant)
            | _entry("steps", one.steps)
            | _entry("forget_em", one.em)
            | _entry("other_kl", one.other_kl)
            | {"relearned": back}
        )
    return {"seeds": len({one.seed for one in trials}), "seeds_for_interval": SEEDS_AT_LEAST, "plants": told}


def _entry(name: str, mean: Mean) -> dict[str, Any]:
    return {name: mean.value, f"{name}_ci": None if mean.interval is None else list(mean.interval)}


def table(trials: Sequence[Trial]) -> Table:
    """A row for each trial and number of relearning steps; one without relearning where there was none."""
    rows: list[dict[str, Any]] = []
    for one in trials:
        same = {
            "plant": one.plant,
            "place": one.place,
            "seed": one.seed,
            "weights": one.weights,
            "k": one.k,
            "in_plant": one.in_plant,
            "is_planted": one.is_planted,
            "is_forgotten": None if one.forgotten is None else one.forgotten.is_forgotten,
            "forget_steps": None if one.forgotten is None else one.forgotten.steps,
            "forget_em": None if one.forgotten is None else mean_of(one.forgotten.em),
            "other_kl": one.other_kl,
        }
        for back in one.course or (None,):
            rows.append(
                same
                | {
                    "relearn_steps": None if back is None else back.steps,
                    "em": None if back is None else mean_of(back.other.em),
                    "longest_run": None if back is None else mean_of(back.other.values["longest_run"]),
                    "nll": None if back is None else float(back.other.nll.mean()),
                    "taught_em": None if back is None else mean_of(back.taught.em),
                }
            )
    return columns_of(rows)
