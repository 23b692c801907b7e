"""The figures of `known_answer`."""

from __future__ import annotations

from collections.abc import Sequence

from memunlearn.analyses.known_answer.compare import ANOTHER, ATTRIBUTIONS, Compared
from memunlearn.analyses.known_answer.measure import Measure, Planting
from memunlearn.charts.description import NEUTRAL, OTHERS, Chart, Lines, Series
from memunlearn.localization.known_answer import MAGNITUDE
from memunlearn.words import capital

IN_WORDS = {"scattered": "scattered weights", "mlp": "one layer's MLP", "head": "one attention head"}


def charts(compared: Sequence[Compared], plantings: Sequence[Planting]) -> tuple[Chart, ...]:
    """AUPRC and recall at k by level, a panel a plant."""
    return (
        _chart("auprc", "AUPRC", compared, plantings),
        _chart("recall_at_k", "Recall at k", compared, plantings),
    )


def share(value: float | None) -> str:
    """Two significant digits: 0.31, 0.0052."""
    return "-" if value is None else f"{value:.2g}"


def level_in_words(one: Compared) -> str:
    return f"level {one.level:g} (planted NLL {share(one.nll)} nats per token, EM {one.em:.1f})"


def _chart(measure: Measure, label: str, compared: Sequence[Compared], plantings: Sequence[Planting]) -> Chart:
    plants = list(dict.fromkeys(one.plant for one in compared))
    panels = tuple(_panel(measure, label, plant, compared, plantings) for plant in plants)
    best = max(
        (one for one in compared if one.seeds),
        key=lambda one: one.planted[measure].value or 0,
        default=None,
    )
    if best is None:
        caption = f"{label}: no planted model could be scored, so there is nothing to show."
    else:
        caption = (
            f"{label} is highest, {share(best.planted[measure].value)}, for {best.attribution} on {IN_WORDS[best.plant]} at "
            f"{level_in_words(best)} (another paragraph {share(best.controls[ANOTHER][measure].value)}, |w| "
            f"{share(best.controls[MAGNITUDE][measure].value)}); "
            + (f"bands: 95 % intervals over {best.seeds} planting seeds." if best.can_tell else "too few seeds for intervals.")
        )
    alt = f"{label} of each attribution against the remaining loss of the planted paragraphs, one panel for each kind of plant."
    return Chart(name=f"known_answer_{measure}", caption=caption, alt=alt, panels=panels, columns=3, shared=True)


def _panel(measure: Measure, label: str, plant: str, compared: Sequence[Compared], plantings: Sequence[Planting]) -> Lines:
    series = []
    for name, colour in zip(ATTRIBUTIONS, OTHERS, strict=True):
        mine = [one for one in compared if (one.plant, one.attribution) == (plant, name)]
        # Models of a level lie between it and the next one: they are drawn where they are.
        losses: list[float | None] = [one.level if one.nll is None else one.nll for one in mine]
        planted = [one.planted[measure] for one in mine]
        intervals = [mean.interval for mean in planted]
        # A log axis has no place for 0: an interval that reaches it is drawn down to a third of its mean.
        floors = [(mean.value or 0) / 3 if measure == "auprc" else 0.0 for mean in planted]
        lows = [None if ends is None else max(ends[0], floor) for ends, floor in zip(intervals, floors, strict=True)]
        highs = [None if ends is None else ends[1] for ends in intervals]
        series.append(Series(label=name, x=losses, y=[mean.value for mean in planted], colour=colour, low=lows, high=highs))
        another = [one.controls[ANOTHER][measure].value for one in mine]
        series.append(Series(label=f"{name}, another paragraph", x=losses, y=another, colour=colour, marker="none", dash=":"))
    magnitude = [one.controls[MAGNITUDE][measure].value for one in mine]
    series.append(Series(label="|w|, no paragraph", x=losses, y=magnitude, colour=NEUTRAL))
    one = next(planting for planting in plantings if planting.answer.plant == plant)
    chance: list[float | None] = [one.chance(measure)] * len(losses)
    series.append(Series(label="chance", x=losses, y=chance, colour=NEUTRAL, marker="none", dash="--"))
    x_label = "remaining loss of the planted paragraphs (nats per token)"
    log_x = max(one.level for one in compared) >= 10 * min(one.level for one in compared)
    return Lines(
        title=capital(IN_WORDS[plant]),
        x_label=x_label,
        y_label=label,
        series=tuple(series),
        log_x=log_x,
        log_y=measure == "auprc",
    )
