"""What a certificate is made of: evaluation.json, and attacks.json where there is one, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from memunlearn.errors import UserError
from memunlearn.files.reading import read_json
from memunlearn.results.attacks.content import ATTACKS, AttackNumbers, read_attacks

EVALUATION = "evaluation.json"
REMEDY = "write it again with evaluate.py patch=... certificate=true"


@dataclass(frozen=True)
class Texts:
    """Of one row. beginning: the end of its prefix. before, now: what the base model and the unlearned one say after it."""

    beginning: str
    original: str
    before: str
    now: str


@dataclass(frozen=True, kw_only=True)
class CertifiedRow:
    """One text, or one passage of a text, that was to be forgotten. sha256: of its ids. em, longest_common_run: tokens.
    texts: only on request. text, start: the name of the text that it is a passage of, and the token with which its
    continuation begins."""

    sha256: str
    origin: str
    cluster: int
    em_before: int
    em_now: int
    longest_common_run_before: int
    longest_common_run_now: int
    texts: Texts | None = None
    text: str | None = None
    start: int | None = None


@dataclass(frozen=True, kw_only=True)
class RecitedSpan:
    """Tokens `start` to `end` of a text, and its characters (None: not known); the ends are not included."""

    start: int
    end: int
    first_character: int | None = None
    end_character: int | None = None


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What a search found of a text. em: of the best of so many windows, None of none."""

    em: int | None
    windows: int
    spans: tuple[RecitedSpan, ...]


@dataclass(frozen=True, kw_only=True)
class CertifiedText:
    """A text that was asked about. columns: of the file that it is from. kind: `recited`, `not recited` or `too short`, before
    the change. em, windows, spans: of the original model; now: of the changed one, None where it was not searched."""

    name: str
    columns: dict[str, str]
    kind: Literal["recited", "not recited", "too short"]
    tokens: int
    em: int | None
    windows: int
    spans: tuple[RecitedSpan, ...]
    now: Searched | None = None


@dataclass(frozen=True)
class NamedFiles:
    """Files that a setting named, and the sha256 of all of them together."""

    setting: str
    names: tuple[str, ...]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What `certificate=true` adds to evaluation.json. length: C. hashes: of the base model's weights, the patch's file, the
    unlearned model's weights. before: the base model's entries by set. model: its name. texts: those that the run was asked
    about; None where there were only rows. searched_as: the type of the weights in the checkpoint that was searched; None where
    none was. files: of the run. kept: what its result says of what was to be kept, and of its rounding."""

    date: str
    prefix_length: int
    length: int
    hashes: dict[str, str]
    before: dict[str, dict[str, Any] | None]
    rows: tuple[CertifiedRow, ...]
    model: str | None = None
    texts: tuple[CertifiedText, ...] | None = None
    searched_as: str | None = None
    files: tuple[NamedFiles, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        """What a row is called: a passage where there are texts that it is a part of."""
        return "text" if self.texts is None else "passage"


@dataclass(frozen=True, kw_only=True)
class Content:
    """now: the unlearned model's entries by set. roles: rows found and rows of the run by set. attacks: None where none were
    run. notes: what a reader must know of what the figures are evidence for. The others: as in evaluation.json."""

    facts: Facts
    now: dict[str, dict[str, Any] | None]
    roles: dict[str, dict[str, int]]
    environment: dict[str, Any]
    seed: int
    self_generated: bool = False
    attacks: dict[str, AttackNumbers] | None = None
    notes: tuple[str, ...] = ()
    lm_eval: dict[str, Any] | None = None
    oracle: dict[str, Any] | None = None
    membership: dict[str, Any] | None = None


_CONTENT = TypeAdapter(Content)


def has_certificate(directory: Path) -> bool:
    """Whether an evaluation that was asked for a certificate lies here."""
    path = directory / EVALUATION
    return path.is_file() and isinstance(read_json(path, REMEDY).get("certificate"), Mapping)


def read_content(directory: Path) -> Content:
    """Raises UserError where a file is missing or damaged, or where the attacks are of another model."""
    path = directory / EVALUATION
    evaluation = read_json(path, REMEDY)
    if not isinstance(evaluation.get("certificate"), Mapping):
        raise UserError(f"{path} holds nothing for a certificate: {REMEDY}")
    attacked = read_attacks(directory) if (directory / ATTACKS).is_file() else None
    try:
        content = _CONTENT.validate_python(
            {
                "facts": evaluation["certificate"],
                "now": evaluation.get("sets"),
                "roles": evaluation.get("roles") or {},
                "attacks": None if attacked is None else attacked.attacks,
                "notes": evaluation["certificate"].get("notes", []),
                **{name: evaluation[name] for name in _AS_THEY_ARE if evaluation.get(name) is not None},
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{directory}: the certificate cannot be made ({where}: {first['msg']}): {REMEDY}") from error
    if attacked is not None:
        _check_same_models(directory / ATTACKS, attacked.hashes, content.facts)
    return content


_AS_THEY_ARE = ("environment", "seed", "self_generated", "lm_eval", "oracle", "membership")


def _check_same_models(path: Path, hashes: Mapping[str, Any], facts: Facts) -> None:
    for name in ("base", "unlearned"):
        if hashes.get(name, facts.hashes[name]) != facts.hashes[name]:
            raise UserError(f"{path} is about another {name} model than evaluation.json beside it: {REMEDY} attacks=all")
