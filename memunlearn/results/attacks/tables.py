"""Attempts by models, as tables show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from memunlearn.results.attacks.content import AttackNumbers, AttacksContent, AttemptNumbers, Setting
from memunlearn.results.tables import MISSING, interval_text, value_text
from memunlearn.scoring.metric import Metric
from memunlearn.scoring.metrics import EM, LONGEST_RUN, MEMORIZED, NLL
from memunlearn.words import counted, number, settings_text

SHOWN: tuple[Metric, ...] = (EM, LONGEST_RUN, MEMORIZED, NLL)


@dataclass(frozen=True)
class Cell:
    """text: a number. small: its interval. faint: it does not count. worst: it is the one that counts most."""

    text: str
    small: str = ""
    faint: bool = False
    worst: bool = False


@dataclass(frozen=True)
class AttemptRow:
    """label: what varied. rows: how many were measured, where that is the same for every model. cells: a list a metric of
    SHOWN, a cell a model. extra: one cell a further number and model."""

    label: str
    rows: str
    cells: list[list[Cell]]
    extra: list[Cell]


@dataclass(frozen=True)
class AttackTable:
    """subjects: columns under each metric. extra: (name, model) over each of a row's further numbers. notes: what is said of
    attempts, each with the attempts that it is said of."""

    subjects: list[str]
    rows: list[AttemptRow]
    extra: list[tuple[str, str]]
    notes: list[tuple[str, list[str]]]


def attack_table(attack: AttackNumbers, subjects: Sequence[str]) -> AttackTable:
    """A row for each of the settings that were tried on any model, in order."""
    made = [subject for subject in subjects if attack.of(subject)]
    tried = list(dict.fromkeys(setting_text(attempt.settings) for attempt in attack.attempts))
    by_place = {(setting_text(attempt.settings), attempt.subject): attempt for attempt in attack.attempts}
    names = list(dict.fromkeys(name for attempt in attack.attempts for name in attempt.extra))
    extra = [(name, subject) for name in names for subject in made if any(name in one.extra for one in attack.of(subject))]
    worst = [attack.worst_of(subject) for subject in made]
    rows = []
    for label in tried:
        attempts = [by_place.get((label, subject)) for subject in made]
        cells = [[_cell(metric, attempt, attempt is not None and attempt in worst) for attempt in attempts] for metric in SHOWN]
        further = [_extra_cell(by_place.get((label, subject)), name) for name, subject in extra]
        rows.append(AttemptRow(label, _rows_of(attempts), cells, further))
    return AttackTable(made, rows, extra, _notes(attack))


def worst_table(content: AttacksContent) -> list[tuple[str, list[Cell], list[Cell]]]:
    """An attack a row: its name, and for each model mean EM and longest run of the attempt that counts most."""
    rows = []
    for name, attack in content.attacks.items():
        attempts = [attack.worst_of(subject) for subject in content.subjects]
        em, longest_run = ([_cell(metric, attempt) for attempt in attempts] for metric in (EM, LONGEST_RUN))
        rows.append((title(name), em, longest_run))
    return rows


def title(name: str) -> str:
    """Of an attack: `few_shot` is `Few shot`."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def setting_text(settings: Mapping[str, Setting]) -> str:
    """`steps 30, lr 0.0002, on half`."""
    return settings_text(settings) or "as it is"


def _cell(metric: Metric, attempt: AttemptNumbers | None, worst: bool = False) -> Cell:
    if attempt is None:
        return Cell(MISSING)
    numbers = asdict(attempt)
    return Cell(value_text(metric, numbers), interval_text(metric, numbers), not attempt.counts, worst)


def _extra_cell(attempt: AttemptNumbers | None, name: str) -> Cell:
    value = None if attempt is None else attempt.extra.get(name)
    return Cell(MISSING) if attempt is None or value is None else Cell(number(value), faint=not attempt.counts)


def _rows_of(attempts: Sequence[AttemptNumbers | None]) -> str:
    counts = {(attempt.n, attempt.clusters) for attempt in attempts if attempt is not None}
    return "; ".join(f"{counted(n, 'row')} in {counted(clusters, 'cluster')}" for n, clusters in sorted(counts))


def _notes(attack: AttackNumbers) -> list[tuple[str, list[str]]]:
    said: dict[str, list[str]] = {}
    for attempt in attack.attempts:
        for note in filter(None, (attempt.note, attempt.interval_note)):
            said.setdefault(note, []).append(f"{attempt.subject} ({setting_text(attempt.settings)})")
    return list(said.items())
