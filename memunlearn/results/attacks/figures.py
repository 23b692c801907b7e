"""The figures of the attacks, described: each from attacks.json alone, and only where that attack was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memunlearn.charts.colours import GREEN, GREY, ORANGE, PURPLE
from memunlearn.charts.description import Bars, Chart, Lines, Marker, Series, Value
from memunlearn.results.attacks.content import AttackNumbers, AttacksContent, AttemptNumbers
from memunlearn.results.attacks.tables import setting_text, title
from memunlearn.scoring.metric import Metric
from memunlearn.scoring.metrics import EM, LONGEST_RUN

SUBJECT_LOOKS: dict[str, tuple[str, Marker, Any]] = {
    "base": (GREY, "s", "--"),
    "unlearned": (PURPLE, "^", "-"),
    "oracle": (GREEN, "o", "-."),
}
OTHER_LOOK: tuple[str, Marker, Any] = (ORANGE, "v", ":")
INTERVAL = "Intervals are 95 %, over clusters."


@dataclass(frozen=True, kw_only=True)
class Curve:
    """An attack whose attempts are points of lines: x: the setting that runs along them; panels: the one that each value of has
    a panel; worst_of: the one of which each line shows the value that brought back most. expected: a further number that is
    drawn beside EM. metrics: a panel each, where `panels` is ""."""

    x: str
    x_label: str
    caption: str
    panels: str = ""
    worst_of: str = ""
    expected: str = ""
    expected_label: str = ""
    metrics: tuple[Metric, ...] = (EM,)
    log_x: bool = False


CURVES = {
    "relearning": Curve(
        x="steps",
        x_label="relearning steps",
        panels="on",
        worst_of="lr",
        log_x=True,
        caption="EM after steps of training: on half of the forget clusters (the other half is measured), or on prefixes or "
        "unrelated text (all forget rows are); each line at the learning rate that brought back most, without what does not "
        "count.",
    ),
    "pruning": Curve(
        x="share",
        x_label="share of each weight matrix removed",
        caption="EM with the smallest weights removed.",
        metrics=(EM, LONGEST_RUN),
    ),
    "partial": Curve(
        x="share",
        x_label="share of the patch that is applied",
        caption="The base model with a share of the patch: 0 is the base model, 1 the unlearned one.",
        metrics=(EM, LONGEST_RUN),
    ),
    "sampling": Curve(
        x="n",
        x_label="samples a row",
        expected="em_expected",
        expected_label="expected",
        log_x=True,
        caption="EM of the best of n samples; dotted: what the token probabilities of one pass make one expect.",
    ),
}
BARS = {
    "quantization": "EM and longest run with the weights rounded.",
    "positions": "EM and longest run with prefixes that start later (which leaves fewer tokens to measure) or are shorter.",
    "few_shot": "EM and longest run with other forgotten rows in front of the prefix.",
}


def attack_charts(content: AttacksContent) -> list[Chart]:
    """`worst` over all attacks, then one an attack that CURVES or BARS names, in the order of the page."""
    charts = [worst(content)]
    for name, attack in content.attacks.items():
        if name in CURVES:
            charts.append(curve(name, attack, content.subjects, CURVES[name]))
        elif name in BARS:
            charts.append(bars(name, attack, content.subjects, BARS[name]))
    return [chart for chart in charts if chart is not None]


def worst(content: AttacksContent) -> Chart | None:
    """Mean EM of each attack's attempt that counts most, a bar a model. None where nothing counts."""
    names = [name for name, attack in content.attacks.items() if any(map(attack.worst_of, content.subjects))]
    if not names:
        return None
    series = [
        _bar_series(subject, [content.attacks[name].worst_of(subject) for name in names], EM) for subject in content.subjects
    ]
    return Chart(
        name="worst",
        caption=f"EM of the attempt of each attack that brought back most. {INTERVAL}",
        alt="For every attack and every model mean EM of the attempt that brought back most; the numbers are in the table.",
        panels=(Bars("", "EM (tokens)", [title(name) for name in names], tuple(series)),),
        columns=1,
    )


def curve(name: str, attack: AttackNumbers, subjects: Sequence[str], look: Curve) -> Chart | None:
    """Lines of an attack, a panel a value of `look.panels` or a metric. None where no attempt has the setting along x."""
    attempts = [one for one in attack.attempts if isinstance(one.settings.get(look.x), int | float) and one.n]
    if not attempts:
        return None
    panels = []
    if look.panels:
        for value in dict.fromkeys(attempt.settings.get(look.panels) for attempt in attempts):
            chosen = [attempt for attempt in attempts if attempt.settings.get(look.panels) == value]
            panels.append(_lines(f"trained {look.panels} {value}", chosen, subjects, look, EM))
    else:
        titles = [metric.label if len(look.metrics) > 1 else "" for metric in look.metrics]
        panels = [_lines(title, attempts, subjects, look, metric) for title, metric in zip(titles, look.metrics, strict=True)]
    return Chart(
        name=name,
        caption=f"{look.caption} {INTERVAL}",
        alt=f"{title(name)}: lines over {look.x_label}, one for each model; the numbers are in the table.",
        panels=tuple(panels),
        columns=min(2, len(panels)),
        shared=True,
    )


def _lines(title: str, attempts: Sequence[AttemptNumbers], subjects: Sequence[str], look: Curve, metric: Metric) -> Lines:
    series = []
    for subject in subjects:
        own = [attempt for attempt in attempts if attempt.subject == subject]
        if not own:
            continue
        label = subject
        if look.worst_of:
            own = _at_worst(own, look.worst_of)
            counting = [attempt for attempt in own if attempt.counts]
            own, label = (counting, subject) if counting else (own, f"{subject} (does not count)")
        own = sorted(own, key=lambda attempt: float(attempt.settings[look.x]))
        series.append(_line(label, subject, own, look, metric))
        if look.expected and metric is EM:
            colour, _, _ = SUBJECT_LOOKS.get(subject, OTHER_LOOK)
            y = [attempt.extra.get(look.expected) for attempt in own]
            x: list[Value] = [float(attempt.settings[look.x]) for attempt in own]
            label = f"{subject}, {look.expected_label}"
            series.append(Series(label=label, x=x, y=y, colour=colour, marker="none", dash=":"))
    return Lines(
        title=title,
        x_label=look.x_label,
        y_label="tokens" if title == metric.label else f"{metric.label} (tokens)",
        series=tuple(series),
        log_x=look.log_x,
        zero=True,
        zero_x=not look.log_x,
    )


def _line(label: str, subject: str, attempts: Sequence[AttemptNumbers], look: Curve, metric: Metric) -> Series:
    colour, marker, dash = SUBJECT_LOOKS.get(subject, OTHER_LOOK)
    low, high = _ends(attempts, metric)
    return Series(
        label=label,
        x=[float(attempt.settings[look.x]) for attempt in attempts],
        y=[getattr(attempt, metric.key) for attempt in attempts],
        low=low,
        high=high,
        colour=colour,
        marker=marker,
        dash=dash,
        text=[f"{subject}, {setting_text(attempt.settings)}" for attempt in attempts],
    )


def _at_worst(attempts: Sequence[AttemptNumbers], setting: str) -> list[AttemptNumbers]:
    """Those with the setting's value of the attempt with the highest mean EM; of attempts that count, where one does."""
    known = [attempt for attempt in attempts if setting in attempt.settings and attempt.em is not None] or list(attempts)
    counting = [attempt for attempt in known if attempt.counts] or known
    most = max(counting, key=lambda attempt: attempt.em or 0.0)
    return [attempt for attempt in attempts if attempt.settings.get(setting) == most.settings.get(setting)]


def bars(name: str, attack: AttackNumbers, subjects: Sequence[str], caption: str) -> Chart | None:
    """A bar an attempt and model, EM above the longest run. None where no row was measured."""
    measured = [attempt for attempt in attack.attempts if attempt.n]
    if not measured:
        return None
    labels = list(dict.fromkeys(setting_text(attempt.settings) for attempt in measured))
    by_place = {(setting_text(attempt.settings), attempt.subject): attempt for attempt in measured}
    made = [subject for subject in subjects if any(attempt.subject == subject for attempt in measured)]
    panels = tuple(
        Bars(
            "",
            f"{metric.label} (tokens)",
            labels,
            tuple(_bar_series(subject, [by_place.get((label, subject)) for label in labels], metric) for subject in made),
        )
        for metric in (EM, LONGEST_RUN)
    )
    return Chart(
        name=name,
        caption=f"{caption} {INTERVAL}",
        alt=f"{title(name)}: EM and longest run of every attempt, a bar a model; the numbers are in the table.",
        panels=panels,
        columns=1,
        shared=True,
    )


def _bar_series(subject: str, attempts: Sequence[AttemptNumbers | None], metric: Metric) -> Series:
    colour, marker, _ = SUBJECT_LOOKS.get(subject, OTHER_LOOK)
    low, high = _ends(attempts, metric)
    return Series(
        label=subject,
        x=[float(place) for place in range(len(attempts))],
        y=[None if attempt is None else getattr(attempt, metric.key) for attempt in attempts],
        low=low,
        high=high,
        colour=colour,
        marker=marker,
    )


def _ends(attempts: Sequence[AttemptNumbers | None], metric: Metric) -> tuple[list[Value] | None, list[Value] | None]:
    """Of intervals, None for both where no attempt has one."""
    intervals = [None if attempt is None else getattr(attempt, f"{metric.key}_ci") for attempt in attempts]
    if not any(intervals):
        return None, None
    return [ends and ends[0] for ends in intervals], [ends and ends[1] for ends in intervals]
