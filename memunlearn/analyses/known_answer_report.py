"""What `known_answer` says and draws: every claim follows from the intervals, and nothing from points alone."""

from __future__ import annotations

from collections.abc import Sequence

from memunlearn.analyses.known_answer_comparison import Compared, Measure, Planting
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
    return (_verdict(compared), *of_plants, _planting_sentence(plantings), NO_DEFAULT)


def _verdict(compared: Sequence[Compared]) -> str:
    tested = [one for one in compared if one.attribution != RANDOM and one.can_tell]
    if not tested:
        if not any(one.seeds for one in compared):
            return "No paragraph could be planted, so nothing can be said about what the attributions find."
        return (
            f"Too few plantings for a verdict: an interval needs {SEEDS_AT_LEAST} seeds that reach a level; these are points."
        )
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
        return f"{_capital(name)}: no level was reached, so nothing was scored."
    level = min(one.level for one in scored)
    at = [one for one in scored if one.level == level]
    values = ", ".join(_value(one) for one in at if one.attribution != RANDOM)
    count = at[0].seeds
    return f"{_capital(name)}: AUPRC at {level:g} nats per token over {count} seed{'s' * (count != 1)}: {values}."


def _planting_sentence(plantings: Sequence[Planting]) -> str:
    trials = [one for one in plantings if one.state != "unplanted"]
    reached = sum(one.answer.reached for one in trials)
    length = max(int(one.answer.em.max()) for one in trials)
    if reached == len(trials):
        return f"All {reached} plantings reached their level with every planted paragraph recited (EM {length})."
    return f"{reached} of {len(trials)} plantings reached their level with every paragraph recited; the others are not scored."


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
    for one in plantings:
        answer = one.answer
        if one.state == "not planted":
            said.append(
                f"Not planted: {IN_WORDS[answer.plant]} ({one.place}), seed {one.seed}, level {answer.level:g} nats per token: "
                f"after {answer.steps} steps NLL {float(answer.nll.mean()):.3f}, EM {', '.join(map(str, answer.em.tolist()))}."
            )
    kept = [one for one in plantings if one.answer.reached and one.answer.retain_nll is not None]
    if kept:
        before = {one.seed: one.answer.retain_nll for one in plantings if one.state == "unplanted"}
        rises = [(one.answer.retain_nll or 0) - (before[one.seed] or 0) for one in kept]
        said.append(
            f"What planting did to other text: NLL of the retain rows changed by {min(rises):+.2f} to {max(rises):+.2f} nats "
            "per token."
        )
    return tuple(said)


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
        caption = f"{label}: no level was reached, so there is nothing to show."
    else:
        caption = (
            f"{label} is highest, {share(best.planted[measure].value)}, for {best.attribution} on {IN_WORDS[best.plant]} at "
            f"{best.level:g} nats per token (unplanted {share(best.unplanted[measure].value)}); "
            + (f"bands: 95 % intervals over {best.seeds} planting seeds." if best.can_tell else "too few seeds for intervals.")
        )
    alt = f"{label} of each attribution against the remaining loss of the planted paragraphs, one panel for each kind of plant."
    return Chart(f"known_answer_{measure}", caption, alt, panels, columns=3, shared=True)


def _panel(measure: Measure, label: str, plant: str, compared: Sequence[Compared], plantings: Sequence[Planting]) -> Lines:
    series = []
    for name, colour in (*zip(ATTRIBUTIONS, OTHERS, strict=True), (RANDOM, NEUTRAL)):
        mine = [one for one in compared if (one.plant, one.attribution) == (plant, name)]
        levels: list[float | None] = [one.level for one in mine]
        planted = [one.planted[measure] for one in mine]
        intervals = [mean.interval for mean in planted]
        # A log axis has no place for 0: an interval that reaches it is drawn down to a third of its mean.
        floors = [(mean.value or 0) / 3 if measure == "auprc" else 0.0 for mean in planted]
        lows = [None if ends is None else max(ends[0], floor) for ends, floor in zip(intervals, floors, strict=True)]
        highs = [None if ends is None else ends[1] for ends in intervals]
        series.append(Series(name, levels, [mean.value for mean in planted], colour, lows, highs))
        if name != RANDOM:
            unplanted = [one.unplanted[measure].value for one in mine]
            series.append(Series(f"{name}, unplanted", levels, unplanted, colour, marker="none", dash=":"))
    one = next(planting for planting in plantings if planting.answer.plant == plant)
    chance: list[float | None] = [one.k / one.eligible] * len(levels)
    series.append(Series("chance", levels, chance, NEUTRAL, marker="none", dash="--"))
    x_label = "remaining loss of the planted paragraphs (nats per token)"
    all_levels = {one.level for one in compared}
    log_x = max(all_levels) >= 10 * min(all_levels)
    return Lines(_capital(IN_WORDS[plant]), x_label, label, tuple(series), log_x=log_x, log_y=measure == "auprc")


def share(value: float | None) -> str:
    """Two significant digits: 0.31, 0.0052."""
    return "-" if value is None else f"{value:.2g}"


def _value(one: Compared) -> str:
    planted, unplanted = one.planted["auprc"], one.unplanted["auprc"]
    ends = "" if planted.interval is None else " [{}, {}]".format(*map(share, planted.interval))
    return f"{one.attribution} {share(planted.value)}{ends} (unplanted {share(unplanted.value)})"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
