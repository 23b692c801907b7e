"""The figure of forgetting and relearning."""

from __future__ import annotations

from collections.abc import Sequence

from memunlearn.analyses.known_answer.charts import IN_WORDS
from memunlearn.analyses.known_answer.relearning.compare import Forgot
from memunlearn.analyses.known_answer.relearning.measure import ALL, NEVER, TRUE
from memunlearn.charts.description import BIN_COLOURS, NEUTRAL, OTHERS, Chart, Lines, Marker, Series
from memunlearn.localization.known_answer import METHODS, RANDOM
from memunlearn.statistics.seeds import SEEDS_AT_LEAST
from memunlearn.words import capital

WEIGHTS_IN_WORDS = {
    TRUE: "the true weights",
    RANDOM: "as many random weights",
    ALL: "all weights",
    NEVER: "never planted",
} | {name: f"those that {name} finds" for name in METHODS if name != RANDOM}
COLOURS = {TRUE: BIN_COLOURS[-1], RANDOM: BIN_COLOURS[0], ALL: NEUTRAL, NEVER: NEUTRAL} | dict(
    zip((name for name in METHODS if name != RANDOM), OTHERS, strict=True)
)
MARKERS: dict[str, Marker] = {TRUE: "s", RANDOM: "^", ALL: "D", NEVER: "none"}


def charts(compared: Sequence[Forgot]) -> tuple[Chart, ...]:
    """EM of the paragraphs that were not taught again by steps of relearning: a panel a plant, a line a choice of weights."""
    plants = list(dict.fromkeys(one.plant for one in compared if one.plant is not None))
    never = next(one for one in compared if one.plant is None)
    panels = tuple(_panel(plant, [*(one for one in compared if one.plant == plant), never]) for plant in plants)
    caption = (
        "EM of the planted paragraphs that were not taught again, after steps of relearning on the other half, by the weights "
        "that had been used to forget all of them"
    )
    if never.back[0].em.interval is not None or any(one.forgotten >= SEEDS_AT_LEAST for one in compared):
        caption += "; bands: 95 % intervals over planting seeds"
    alt = f"{caption}. One panel for each kind of plant, one line for each choice of weights."
    return (Chart(name="known_answer_relearning", caption=f"{caption}.", alt=alt, panels=panels, columns=3, shared=True),)


def _panel(plant: str, compared: Sequence[Forgot]) -> Lines:
    series = []
    for one in compared:
        if not any(back.em.value is not None for back in one.back):
            continue
        intervals = [back.em.interval for back in one.back]
        series.append(
            Series(
                label=WEIGHTS_IN_WORDS[one.weights],
                x=[float(back.steps) for back in one.back],
                y=[back.em.value for back in one.back],
                colour=COLOURS[one.weights],
                low=[None if ends is None else ends[0] for ends in intervals],
                high=[None if ends is None else ends[1] for ends in intervals],
                marker=MARKERS.get(one.weights, "o"),
                dash="--" if one.weights == NEVER else "-",
            )
        )
    return Lines(
        title=capital(IN_WORDS[plant]),
        x_label="steps of relearning on the other half",
        y_label="EM of what was not taught again",
        series=tuple(series),
        zero=True,
    )
