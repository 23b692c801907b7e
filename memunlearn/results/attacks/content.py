"""attacks.json, read and checked: what figures, tables and the page are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from memunlearn.errors import UserError
from memunlearn.files.reading import read_json
from memunlearn.words import readings

ATTACKS = "attacks.json"
REMEDY = "run the attacks again (evaluate.py patch=... attacks=all)"

Setting = int | float | str
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class AttemptNumbers:
    """What one attempt brought back from one model. em, longest_run: means over n rows, tokens; memorized: 0..1; nll: nats per
    token; each with its 95 % interval over clusters, or None (interval_note: why). counts: False where it says nothing; note:
    why, or what else. rows: how many different rows these are, where some were measured more than once (None: n)."""

    subject: str
    settings: dict[str, Setting]
    n: int
    clusters: int
    em: float | None
    longest_run: float | None
    memorized: float | None
    nll: float | None
    em_ci: Interval | None = None
    longest_run_ci: Interval | None = None
    memorized_ci: Interval | None = None
    nll_ci: Interval | None = None
    interval_note: str = ""
    counts: bool = True
    note: str = ""
    extra: dict[str, float | None] = Field(default_factory=dict)
    rows: int | None = None

    def measured(self, noun: str) -> str:
        """`32 texts`, `80 readings of 32 texts`."""
        return readings(self.n, self.n if self.rows is None else self.rows, noun)


@dataclass(frozen=True, kw_only=True)
class AttackNumbers:
    """protocol: how it was done. sentence: what came back. worst: by subject, the place among attempts of the one that counts
    and has the highest mean EM; None where none counts."""

    protocol: str
    sentence: str
    worst: dict[str, int | None]
    attempts: tuple[AttemptNumbers, ...]
    seconds: float | None = None

    def of(self, subject: str) -> list[AttemptNumbers]:
        return [attempt for attempt in self.attempts if attempt.subject == subject]

    def worst_of(self, subject: str) -> AttemptNumbers | None:
        place = self.worst.get(subject)
        return None if place is None else self.attempts[place]


@dataclass(frozen=True, kw_only=True)
class AttacksContent:
    """subjects: names of the models that were attacked, as columns of every table. attacks: by name, in the order of the
    page. notes: what the page begins with. hashes: of the files that were attacked."""

    subjects: tuple[str, ...]
    attacks: dict[str, AttackNumbers]
    seed: int
    config: dict[str, Any] = Field(default_factory=dict)
    environment: dict[str, Any] = Field(default_factory=dict)
    hashes: dict[str, Any] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


CONTENT = TypeAdapter(AttacksContent)


def read_attacks(directory: Path) -> AttacksContent:
    """The content of `attacks.json` in a folder. Raises UserError where it is missing, or not what the attacks wrote."""
    path = directory / ATTACKS
    content = read_json(path, REMEDY)
    try:
        read = CONTENT.validate_python({key: value for key, value in content.items() if key != "schema"})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path} is damaged at {where or 'its top'} ({first['msg']}): {REMEDY}") from error
    for name, attack in read.attacks.items():
        if any(place is not None and not 0 <= place < len(attack.attempts) for place in attack.worst.values()):
            raise UserError(f"{path} is damaged at attacks.{name}.worst (there is no such attempt): {REMEDY}")
    return read
