"""Alternatives: what a model says instead after one prefix token was perturbed; the target of an edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.models.text_config import end_tokens, vocabulary_size
from memunlearn.paragraphs.paragraph_set import FILL, ParagraphSet
from memunlearn.progress import track
from memunlearn.scoring.greedy import greedy_continuations
from memunlearn.scoring.runs import longest_common_run
from memunlearn.scoring.score import score


@dataclass(frozen=True)
class Alternatives:
    """One row a paragraph.

    paragraphs: the *original* prefixes followed by the alternatives (where none was found: by the original continuation).
    found: [N] bool. position, token: [N] int64, the perturbation that was kept (where none was found: that with the lowest EM).
    em: [N] int64, EM of the original continuation under it.
    """

    paragraphs: ParagraphSet
    found: Tensor
    position: Tensor
    token: Tensor
    em: Tensor


def draw_replacements(prefixes: Tensor, vocabulary: int, never: Sequence[int], replacements: int, seed: int) -> Tensor:
    """[N, P, r] int64 tokens, uniform over the vocabulary without the token that stands there and without `never`."""
    generator = torch.Generator().manual_seed(seed)
    allowed = torch.tensor(sorted(set(range(vocabulary)) - set(never)))
    present = prefixes.unsqueeze(-1).contiguous()
    place = torch.searchsorted(allowed, present)
    is_allowed = torch.isin(present, allowed).long()
    uniform = torch.rand(*prefixes.shape, replacements, generator=generator, dtype=torch.float64)
    drawn = (uniform * (len(allowed) - is_allowed)).long()
    # The present token is left out: what would be it, or stands behind it, moves up by one.
    return allowed[drawn + is_allowed * (drawn >= place)]


def says_something_else(said: Tensor, continuations: Tensor) -> Tensor:
    """[N] bool: the longest common run of two texts [N, C] is C/5 at most. With more of it, the text still recites."""
    return longest_common_run(said, continuations) <= continuations.shape[1] / 5


def choose_perturbations(
    model: PreTrainedModel,
    paragraphs: ParagraphSet,
    positions: Tensor,
    *,
    tokens: Tensor,
    em: Tensor,
    order: Tensor,
    batch_size: int = 16,
) -> tuple[Tensor, Tensor]:
    """The first of each row's K perturbations, in its order, after which the model says something else, and what it says.

    positions: [K], where a perturbation stands; tokens: [N, K], what stands there instead. em: [N, K], EM of the original
    continuation under it (NaN: there is none); order: [N, K], their numbers by rising EM.
    Returns ([N] int64, -1 where every one of them leaves more than C/5 tokens in a row; [N, C], there the original).
    """
    # EM is a common run itself: beyond C/5 there is no need to decode.
    usable = (em <= paragraphs.continuation_length / 5).sum(1)
    chosen, said, tried = torch.full((len(paragraphs),), -1), paragraphs.continuations.clone(), 0
    pending = (usable > 0).nonzero().flatten()
    while len(pending):
        at_once = max(1, batch_size // len(pending))
        places = torch.arange(tried, tried + at_once)
        row, place = (places < usable[pending].unsqueeze(1)).nonzero().unbind(1)
        row, candidate = pending[row], order[pending[row], places[place]]
        prefixes = paragraphs.prefixes[row]
        prefixes[torch.arange(len(row)), positions[candidate]] = tokens[row, candidate]
        step = f"decoding alternatives ({len(pending)} rows)"
        texts = greedy_continuations(model, prefixes, paragraphs.continuation_length, batch_size, step)
        good = says_something_else(texts, paragraphs.continuations[row])
        for i in good.nonzero().flatten().flip(0).tolist():  # backwards, so that a row's first one stays
            chosen[row[i]], said[row[i]] = candidate[i], texts[i]
        tried += at_once
        pending = pending[(chosen[pending] < 0) & (usable[pending] > tried)]
    return chosen, said


def find_alternatives(
    model: PreTrainedModel,
    paragraphs: ParagraphSet,
    replacements: int = 1,
    seed: int = 0,
    batch_size: int = 16,
    *,
    never: Sequence[int] | None = None,
) -> Alternatives:
    """Perturbs every prefix position (0 too) r times, and decodes from the perturbation with the lowest EM (paper, section 3).

    A text that shares more than C/5 tokens in a row with the original, at any place, still recites it: it is passed over, and
    the next lowest EM taken (of equal ones the first). Where all are passed over there is no alternative: `found` is False.
    What stands in front of the text (BOS) is left alone. never: ids that are not drawn (None: those that end a text). Raises
    UserError if the prefix has no token of text.
    """
    n, p = paragraphs.prefixes.shape
    start = paragraphs.text_start
    if start == p:
        raise UserError("the prefix is BOS alone, so no token of it can be perturbed: raise paragraphs.prefix_length")
    never = end_tokens(model) if never is None else never
    drawn = draw_replacements(paragraphs.prefixes, vocabulary_size(model), never, replacements, seed)
    tokens, positions = drawn[:, start:].flatten(1), torch.arange(start, p).repeat_interleave(replacements)
    # A short prefix has no token to replace there: what is left alone recites, and is no alternative.
    absent = paragraphs.prefixes[:, positions] == FILL
    em = torch.empty(tokens.shape, dtype=torch.int64)
    for row in track(range(n), "perturbing prefixes"):
        ids = paragraphs.ids[row].repeat(len(positions), 1)
        ids[torch.arange(len(positions)), positions] = tokens[row].where(~absent[row], FILL)
        perturbed = ParagraphSet(ids, p, (paragraphs.origin[row],) * len(ids))
        em[row] = score(model, perturbed, batch_size).em
        em[row][absent[row]] = paragraphs.continuation_length
    order = em.argsort(dim=1, stable=True)
    chosen, said = choose_perturbations(model, paragraphs, positions, tokens=tokens, em=em, order=order, batch_size=batch_size)
    found = chosen >= 0
    kept = torch.where(found, chosen, order[:, 0]).unsqueeze(1)
    return Alternatives(
        paragraphs.with_continuations(said),
        found,
        positions[kept.squeeze(1)],
        tokens.gather(1, kept).squeeze(1),
        em.gather(1, kept).squeeze(1),
    )
