"""The comparisons of a sweep: unlearn with edit, gradient masks with random ones and with all weights, memorized with own text.

Each at the end of the runs, at equal steps and at equal forget EM; paired by seed, and by paragraph where they are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memunlearn.sweeps.checks import levels
from memunlearn.sweeps.differences import Difference, PairedRuns, difference
from memunlearn.sweeps.pairs import (
    RunPair,
    at_equal_forget_em,
    at_equal_steps,
    at_the_end,
    kept_steps,
    run_pairs,
)
from memunlearn.sweeps.quantities import BYSTANDER_VAL_EM, FORGET_EM, KEPT_STEP, MAIN_COLUMNS, RETAIN_VAL_KL, STEPS
from memunlearn.sweeps.runs import Run
from memunlearn.sweeps.settings import MATCHED, Setting, also_different, comparable, continuation_length

END = "at the end of the runs"
EQUAL_STEPS = "at equal steps"


@dataclass(frozen=True)
class Contrast:
    """Two values of one key of the settings, and the name that the comparison goes by."""

    factor: str
    a: str
    b: str
    title: str


CONTRASTS = (
    Contrast("objective", "unlearn", "edit", "unlearn versus edit"),
    Contrast("mask", "gradient", "random", "gradient mask versus random mask"),
    Contrast("mask", "gradient", MATCHED, "gradient mask versus random mask (matched: as many weights in each tensor)"),
    Contrast("mask", "gradient", "all", "gradient mask versus all weights"),
    Contrast("forget_text", "memorized", "own", "memorized text versus the model's own continuations"),
)


@dataclass(frozen=True, kw_only=True)
class ComparedSettings:
    """Two settings that differ in one thing. a, b: what they are called in sentences; short: `a - b` for figures; held: what
    both have in common.

    remarks: what a reader must know to read the differences. differences: in order of moment.
    """

    title: str
    a: str
    b: str
    short: str
    held: str
    remarks: tuple[str, ...]
    differences: tuple[Difference, ...]


def comparisons_of(settings: Sequence[Setting]) -> list[ComparedSettings]:
    """Every contrast between two settings that otherwise agree, where any seed has both runs."""
    found = []
    for contrast in CONTRASTS:
        for a in settings:
            for b in settings:
                values = (a.facts.get(contrast.factor), b.facts.get(contrast.factor))
                if values == (contrast.a, contrast.b) and comparable(a, b, contrast.factor):
                    found.append(_compare(contrast, a, b))
    return [comparison for comparison in found if comparison.differences]


def _compare(contrast: Contrast, a: Setting, b: Setting) -> ComparedSettings:
    editing = contrast.factor == "objective"
    pairs = run_pairs(a, b, by_row=contrast.factor != "forget_text", with_alternative=editing)
    remarks = [_weights(pairs)] if pairs and contrast.factor == "mask" else []
    if also := also_different(a, b, contrast.factor):
        remarks.append(f"They differ in these settings too: {'; '.join(also)}")
    if contrast.factor == "forget_text":
        remarks.append("The paragraphs are not the same, so they are paired by seed only")
    if pairs and editing:
        remarks.append(_over_alternatives(pairs))
    differences = [*_at_the_end(pairs), *_at_equal_steps(pairs), *_at_equal_forget_em(pairs)]
    return ComparedSettings(
        title=contrast.title,
        a=_called(contrast, contrast.a),
        b=_called(contrast, contrast.b),
        short=f"{contrast.a} - {contrast.b}",
        held=a.label_without(contrast.factor),
        remarks=tuple(remark for remark in remarks if remark),
        differences=tuple(difference for difference in differences if difference is not None),
    )


def _at_the_end(pairs: Sequence[RunPair]) -> list[Difference | None]:
    trials = any(row.get("trial") is not None for pair in pairs for row in pair.a.paragraphs[:1])
    found = [difference(column.quantity, END, at_the_end(pairs, column), trials=trials) for column in MAIN_COLUMNS]
    return [*found, difference(KEPT_STEP, END, kept_steps(pairs))]


def _at_equal_steps(pairs: Sequence[RunPair]) -> list[Difference | None]:
    found = []
    for quantity, name, field in (
        (FORGET_EM, "forget", "forget_em"),
        (BYSTANDER_VAL_EM, "bystander_val", "bystander_val_em"),
        (RETAIN_VAL_KL, "retain_val", "retain_val_kl"),
    ):
        paired, steps = at_equal_steps(pairs, name, field)
        note = f"step {_range(steps)}" if steps else ""
        found.append(difference(quantity, EQUAL_STEPS, paired, note))
    return found


def _at_equal_forget_em(pairs: Sequence[RunPair]) -> list[Difference | None]:
    length = next((known for pair in pairs if (known := continuation_length(pair.a))), None)
    found = []
    for level in levels(length) if length else ():
        crossings = at_equal_forget_em(pairs, level)
        note = f"reached by {len(crossings)} of {len(pairs)} pairs"
        for quantity, field in ((RETAIN_VAL_KL, "retain_val_kl"), (BYSTANDER_VAL_EM, "bystander_val_em"), (STEPS, "step")):
            values = [(seed, getattr(a, field), getattr(b, field)) for seed, a, b in crossings]
            paired = [PairedRuns(seed=seed, a=a, b=b) for seed, a, b in values if a is not None and b is not None]
            found.append(difference(quantity, f"at forget EM {level:g}", paired, note))
    return found


def _over_alternatives(pairs: Sequence[RunPair]) -> str:
    counts = [len(pair.forget_rows) for pair in pairs if pair.forget_rows is not None]
    if len(counts) < len(pairs):
        return "Which paragraphs have an alternative is not known for every pair: those are over all forget paragraphs"
    said = f"Forget EM is over the {_range(counts)} paragraphs of each pair that have an alternative"
    if not all(pair.a.trajectory and pair.b.trajectory for pair in pairs):
        said += " at the end of the runs, and over all forget paragraphs along the steps (no trajectory.parquet)"
    return said


def _weights(pairs: Sequence[RunPair]) -> str:
    a = [_k(pair.a) for pair in pairs]
    b = [_k(pair.b) for pair in pairs]
    if 0 in (*a, *b):
        return ""
    return f"Equal K: {_range(a)} weights each" if a == b else f"K differs: {_range(a)} and {_range(b)} weights"


def _k(run: Run) -> int:
    """0 where it is not known."""
    return int((run.result.get("mask") or {}).get("k") or 0)


def _called(contrast: Contrast, value: str) -> str:
    if contrast.factor == "mask":
        return "all weights" if value == "all" else f"the {value} mask"
    return value if contrast.factor == "objective" else f"{value} text"


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
