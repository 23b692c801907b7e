"""rows.safetensors: what a run's folder keeps so that its patch can be judged on the same rows, wherever it goes."""

from __future__ import annotations

from pathlib import Path

from memunlearn.paragraphs.row_file import ROWS, write_rows
from memunlearn.paragraphs.sources import LoadedParagraphs
from memunlearn.paragraphs.splits import ParagraphSets
from memunlearn.unlearning.preparation import Preparation


def keep_rows(directory: Path, sets: ParagraphSets, preparation: Preparation, paragraphs: LoadedParagraphs) -> None:
    """Writes the ids of every set and, for an edit, of prefixes with their alternatives, before training starts."""
    found = preparation.alternatives
    alternatives = None if found is None else found.paragraphs.ids[found.found]
    write_rows(directory / ROWS, sets.by_name(), alternatives, _bins(sets, paragraphs), paragraphs.self_generated)


def _bins(sets: ParagraphSets, paragraphs: LoadedParagraphs) -> dict[str, list[str]] | None:
    """By set the bin of each row, where the source has fixed it."""
    if not paragraphs.bins:
        return None
    bin_of = {origin: label for label, members in paragraphs.bins.items() for origin in members.origin}
    return {name: [bin_of[origin] for origin in members.origin] for name, members in sets.by_name().items()}
