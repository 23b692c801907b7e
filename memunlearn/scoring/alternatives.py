"""Alternatives: what a model says instead after one prefix token was perturbed; the target of an edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.reporting.progress import track
from memunlearn.scoring.greedy import greedy_continuations
from memunlearn.scoring.score import score


@dataclass(frozen=True)
class Alternatives:
    """One row a paragraph.

    paragraphs: the *original* prefixes followed by the alternatives (where none was found: by the original continuation).
    found: [N] bool. position, token: [N] int64, the perturbation that was kept. em: [N] int64, EM of the original continuation
    under it.
    """

    paragraphs: ParagraphSet
    found: Tensor
    position: Tensor
    token: Tensor
    em: Tensor


def draw_replacements(prefixes: Tensor, vocabulary: int, never: Sequence[int], replacements: int, seed: int) -> Tensor:
    """[N, P, r] int64 tokens, uniform over the vocabulary without the token that stands there and without `never` (EOS)."""
    generator = torch.Generator().manual_seed(seed)
    allowed = torch.tensor(sorted(set(range(vocabulary)) - set(never)))
    present = prefixes.unsqueeze(-1).contiguous()
    place = torch.searchsorted(allowed, present)
    is_allowed = torch.isin(present, allowed).long()
    uniform = torch.rand(*prefixes.shape, replacements, generator=generator, dtype=torch.float64)
    drawn = (uniform * (len(allowed) - is_allowed)).long()
    # The present token is left out: what would be it, or stands behind it, moves up by one.
    return allowed[drawn + is_allowed * (drawn >= place)]


def find_alternatives(
    model: PreTrainedModel, paragraphs: ParagraphSet, replacements: int = 1, seed: int = 0, batch_size: int = 16
) -> Alternatives:
    """Perturbs every prefix position (0 too) r times, keeps the one with the lowest EM and decodes from it (paper, section 3).

    What stands in front of the text (BOS) is left alone. Where even that decodes to the original continuation there is no
    alternative: `found` is False. Raises UserError if the prefix has no token of text.
    """
    n, p = paragraphs.prefixes.shape
    start = paragraphs.text_start
    if start == p:
        raise UserError("the prefix is BOS alone, so no token of it can be perturbed: raise paragraphs.prefix_length")
    ends = model.config.eos_token_id  # one, none, or (in newer checkpoints) several
    never = [] if ends is None else [ends] if isinstance(ends, int) else ends
    drawn = draw_replacements(paragraphs.prefixes, model.config.vocab_size, never, replacements, seed)
    places = torch.arange(start, p).repeat_interleave(replacements)
    em = torch.empty(n, len(places), dtype=torch.int64)
    for row in track(range(n), "perturbing prefixes"):
        ids = paragraphs.ids[row].repeat(len(places), 1)
        ids[torch.arange(len(places)), places] = drawn[row, start:].flatten()
        perturbed = ParagraphSet(ids, p, (paragraphs.origin[row],) * len(ids))
        em[row] = score(model, perturbed, batch_size).em
    best = em.argmin(1)
    position, token = places[best], drawn[:, start:].flatten(1).gather(1, best.unsqueeze(1)).squeeze(1)
    prefixes = paragraphs.prefixes.clone()
    prefixes[torch.arange(n), position] = token
    said = greedy_continuations(model, prefixes, paragraphs.continuation_length, batch_size, "decoding alternatives")
    found = (said != paragraphs.continuations).any(1)
    return Alternatives(paragraphs.with_continuations(said), found, position, token, em.gather(1, best.unsqueeze(1)).squeeze(1))
