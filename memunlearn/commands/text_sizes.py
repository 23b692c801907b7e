"""How many bytes each continuation's text takes, compressed: what the zlib score divides by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from memunlearn.commands.paragraph_table import text_of
from memunlearn.evaluation.suite import Measurement
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.likelihood import compressed_bytes
from memunlearn.unlearning.outcome import Outcome, SetOutcome


def text_bytes(paragraphs: ParagraphSet, tokenizer: Any) -> Tensor:
    """[N] int64."""
    return torch.tensor(compressed_bytes([text_of(ids, tokenizer) for ids in paragraphs.continuations]), dtype=torch.int64)


def with_text_sizes(measured: Measurement, paragraphs: ParagraphSet, tokenizer: Any | None) -> Measurement:
    """With the metrics that need the text's size; as it is where there is no tokenizer, and so no text."""
    return measured if tokenizer is None else measured.with_text_bytes(text_bytes(paragraphs, tokenizer))


def outcome_with_text_sizes(outcome: Outcome, tokenizer: Any | None) -> Outcome:
    """`with_text_sizes` of every set, before and after."""

    def sized(of_set: SetOutcome) -> SetOutcome:
        before, after = (with_text_sizes(one, of_set.paragraphs, tokenizer) for one in (of_set.before, of_set.after))
        return replace(of_set, before=before, after=after)

    return replace(outcome, sets={name: sized(of_set) for name, of_set in outcome.sets.items()})
