"""Retain text when none is at hand: `paragraphs.retain=model` or `=demo`, alone or in a list with files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memunlearn.errors import UserError

MODEL, DEMO = "model", "demo"
WORDS = (MODEL, DEMO)
"""Not files: a file or folder that is called so is `./model`, `./demo`."""

SUSPECTED = "suspected"
"""The set of samples of the model's own text that seem memorized: reported, in no loss and in no stop rule."""

KINDS = {MODEL: "text of the model's own making", DEMO: "English technical documentation"}
TEXT_OF_FILES = "the text of the files that were named"
LEAST_ROWS = 3  # retain_train, retain_val and retain need a cluster each
LEAST_SAMPLES = 100  # the lowest 1 % of fewer is none
NO_RETAIN = (
    "paragraphs.forget is given without text to be retained: add paragraphs.retain=FILE (other text, which the model is to go "
    "on with as before), paragraphs.retain=model (samples of the model's own text) or paragraphs.retain=demo (English that "
    "ships with Python)"
)


@dataclass(frozen=True, kw_only=True)
class RetainText:
    """Rows that are made when the model is there.

    words: which of WORDS were given. rows: how many of each at most. samples: how many samples of the model's own text are
    looked through for the set `suspected`; 0: none are. must: whether that was asked for, and not only done because samples are
    drawn anyway.
    """

    words: tuple[str, ...]
    rows: int
    samples: int
    must: bool


def words_of(retain: Any) -> tuple[str, ...]:
    """Which of WORDS `paragraphs.retain` names: one, or among others in a list."""
    given = _listed(retain)
    return tuple(word for word in WORDS if word in given)


def kinds_of(retain: Any) -> str:
    """Of what kinds the text is that `paragraphs.retain` names, for a sentence: `text of the model's own making`."""
    files = [] if files_of(retain) is None else [TEXT_OF_FILES]
    return " and ".join([*files, *(KINDS[word] for word in words_of(retain))])


def files_of(retain: Any) -> Any | None:
    """What `paragraphs.retain` names beside WORDS: a file, a list of several, or None."""
    files = [one for one in _listed(retain) if one is not None and one not in WORDS]
    return files[0] if len(files) == 1 else files or None


def _listed(retain: Any) -> Sequence[Any]:
    return retain if isinstance(retain, list | tuple) else [retain]


def retain_text(retain: Any, rows: int, suspected: bool | None, samples: int, named: str | None) -> RetainText | None:
    """What is to be made of these settings, None where nothing is.

    suspected: None looks through the samples that are drawn to be retained, if any are. named: why there is no place for
    suspected rows (bystanders are named, say), or None. Raises UserError for numbers that are too small, and for suspected rows
    that are asked for where there is no place for them.
    """
    words = words_of(retain)
    if suspected not in (None, True, False):
        raise UserError(f"paragraphs.suspected={suspected} is not known: use true, false or null")
    if rows < LEAST_ROWS:
        raise UserError(f"paragraphs.retain_rows={rows} is too few: set {LEAST_ROWS} or more")
    if samples < LEAST_SAMPLES:
        raise UserError(
            f"paragraphs.suspected_samples={samples}: the lowest 1 % of these is less than a row: set {LEAST_SAMPLES} or more"
        )
    if suspected and named is not None:
        raise UserError(f"paragraphs.suspected=true looks for memorized text where none is named, and {named}: leave one out")
    if suspected:
        looked_through = samples
    else:
        drawn_anyway = suspected is None and named is None and MODEL in words and rows >= LEAST_SAMPLES
        looked_through = rows if drawn_anyway else 0
    if not words and not looked_through:
        return None
    return RetainText(words=words, rows=rows, samples=looked_through, must=bool(suspected))
