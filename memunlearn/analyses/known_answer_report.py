"""What `known_answer` says and draws: every claim follows from the intervals, and nothing from points alone."""

from __future__ import annotations

from collections.abc import Sequence

from memunlearn.analyses.known_answer_comparison import Compared, Measure, Planting, planted_em_and_nll
from memunlearn.localization.known_answer import METHODS, RANDOM
from memunlearn.reporting.charts import NEUTRAL, OTHERS, Chart, Lines, Series
from memunlearn.statistics.seeds import SEEDS_AT_LEAST

IN_WORDS = {"scattered": "scattered weights", "mlp": "one layer's MLP", "head": "one attention head"}
ATTRIBUTIONS = tuple(name for name in METHODS if name != RANDOM)
NO_DEFAULT = (
    "This does not choose the default attribution of train.py: finding planted weights is not the same as unlearning well."
)


def sentences(compared: Sequence[Compared], plantings: Sequence[Planting]) -> tuple[str, ...]:
    """The verdict, one sentence a plant, and how far planting went."""
    plants = list(dict.fromkeys(one.plant for one in compared))
    of_plants = (_plant_sentence([one for one in compared if one.plant == plant], plantings) for plant in plants)
    return (_verdict(compared), *of_plants, _planting_sentence(compared, plantings), NO_DEFAULT)


def _verdict(compared: Sequence[Compared]) -> str:
    tested = [one for one in compared if one.attribution != RANDOM and one.can_tell]
    if not tested:
        if not any(one.seeds for one in compared):
            return "No planted model could be scored, so nothing can be said about what the attributions find."
        return f"Too few plantings for a verdict: an interval needs {SEEDS_AT_LEAST} seeds scored at a level; these are points."
    places = {(one.plant, one.level) for one in tested}
    parts = []
    for name in ATTRIBUTIONS:
        kinds = {one.plant: 0 for one in tested}
        for one in tested:
            kinds[one.plant] += one.attribution == name and one.finds
        found = [
            f"{IN_WORDS[plant]} at {count} of {sum(place[0] == plant for place in places)}"
            for plant, count in kinds.items()
            if count
        ]
        if found:
            parts.append(f"{name} finds {_and(found)} tested levels")
    against = "above the unplanted model and random scores (both 95 % intervals of the difference in AUPRC exclude 0)"
    if not parts:
        return f"None of the attributions finds any plant: at no level is one {against}."
    silent = [name for name in ATTRIBUTIONS if not any(part.startswith(f"{name} finds") for part in parts)]
    rest = f"; {_and(silent)} find{'s' * (len(silent) == 1)} none" if silent else ""
    return f"Counting what stands {against}: {'; '.join(parts)}{rest}."


def _plant_sentence(compared: Sequence[Compared], plantings: Sequence[Planting]) -> str:
    plant = next(one for one in plantings if one.answer.plant == compared[0].plant)
    chance = plant.k / plant.eligible
    name = f"{IN_WORDS[compared[0].plant]} ({plant.k:,} of {plant.eligible:,} weights, {share(chance)} by chance)"
    scored = [one for one in compared if one.seeds]
    if not scored:
        return f"{_capital(name)}: no planted model could be scored."
    level = min(one.level for one in scored)
    at = [one for one in scored if one.level == level]
    values = ", ".join(_value(one) for one in at if one.attribution != RANDOM)
    count = at[0].seeds
    return f"{_capital(name)}: AUPRC at {_level(at[0])} over {_count(count, 'seed')}: {values}."


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
        "Unplanted: the same attribution of the same paragraphs in the model before planting, scored against the same weights.",
        "Each interval is a 95 % one; they are not corrected for the number of plants, levels and attributions.",
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
                f"{_capital(answer.outcome)}: {run}: {stands} after {_count(answer.steps, 'step')}; "
                "none of its levels is scored."
            )
    return list(said.values())


def charts(compared: Sequence[Compared], plantings: Sequence[Planting]) -> tuple[Chart, ...]:
    """AUPRC and recall at k by level, a panel a plant."""
    return (
        _chart("auprc", "AUPRC", compared, plantings),
        _chart("recall_at_k", "Recall at k", compared, plantings),
    )


def _chart(measure: Measure, label: str, compared: Sequence[Compared], plantings: Sequence[Planting]) -> Chart:
    plants = list(dict.fromkeys(one.plant for one in compared))
    panels = tuple(_panel(measure, label, plant, compared, plantings) for plant in plants)
    best = max(
        (one for one in compared if one.seeds and one.attribution != RANDOM),
        key=lambda one: one.planted[measure].value or 0,
        default=None,
    )
    if best is None:
        caption = f"{label}: no planted model could be scored, so there is nothing to show."
    else:
        caption = (
            f"{label} is highest, {share(best.planted[measure].value)}, for {best.attribution} on {IN_WORDS[best.plant]} at "
            f"{_level(best)} (unplanted {share(best.unplanted[measure].value)}); "
            + (f"bands: 95 % intervals over {best.seeds} planting seeds." if best.can_tell else "too few seeds for intervals.")
        )
    alt = f"{label} of each attribution against the remaining loss of the planted paragraphs, one panel for each kind of plant."
    return Chart(f"known_answer_{measure}", caption, alt, panels, columns=3, shared=True)


def _panel(measure: Measure, label: str, plant: str, compared: Sequence[Compared], plantings: Sequence[Planting]) -> Lines:
    series = []
    for name, colour in (*zip(ATTRIBUTIONS, OTHERS, strict=True), (RANDOM, NEUTRAL)):
        mine = [one for one in compared if (one.plant, one.attribution) == (plant, name)]
        # Models of a level lie between it and the next one: they are drawn where they are.
        losses: list[float | None] = [one.level if one.nll is None else one.nll for one in mine]
        planted = [one.planted[measure] for one in mine]
        intervals = [mean.interval for mean in planted]
        # A log axis has no place for 0: an interval that reaches it is drawn down to a third of its mean.
        floors = [(mean.value or 0) / 3 if measure == "auprc" else 0.0 for mean in planted]
        lows = [None if ends is None else max(ends[0], floor) for ends, floor in zip(intervals, floors, strict=True)]
        highs = [None if ends is None else ends[1] for ends in intervals]
        series.append(Series(name, losses, [mean.value for mean in planted], colour, lows, highs))
        if name != RANDOM:
            unplanted = [one.unplanted[measure].value for one in mine]
            series.append(Series(f"{name}, unplanted", losses, unplanted, colour, marker="none", dash=":"))
    one = next(planting for planting in plantings if planting.answer.plant == plant)
    chance: list[float | None] = [one.k / one.eligible] * len(losses)
    series.append(Series("chance", losses, chance, NEUTRAL, marker="none", dash="--"))
    x_label = "remaining loss of the planted paragraphs (nats per token)"
    log_x = max(one.level for one in compared) >= 10 * min(one.level for one in compared)
    return Lines(_capital(IN_WORDS[plant]), x_label, label, tuple(series), log_x=log_x, log_y=measure == "auprc")


def share(value: float | None) -> str:
    """Two significant digits: 0.31, 0.0052."""
    return "-" if value is None else f"{value:.2g}"


def _value(one: Compared) -> str:
    planted, unplanted = one.planted["auprc"], one.unplanted["auprc"]
    ends = "" if planted.interval is None else " [{}, {}]".format(*map(share, planted.interval))
    return f"{one.attribution} {share(planted.value)}{ends} (unplanted {share(unplanted.value)})"


def _level(one: Compared) -> str:
    return f"level {one.level:g} (planted NLL {share(one.nll)} nats per token, EM {one.em:.1f})"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
