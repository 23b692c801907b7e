"""One prefix token replaced at a time: how much of a continuation survives (paper, section 3, "perturbing the prefix")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.localization.labelled import Labelled
from memunlearn.models.text_config import end_tokens, vocabulary_size
from memunlearn.objectives.losses import token_nll
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.progress import track
from memunlearn.scoring.alternatives import choose_perturbations, draw_replacements
from memunlearn.scoring.forward import continuation_logits
from memunlearn.scoring.one_pass import token_hits
from memunlearn.scoring.runs import leading_run

RANDOM, SECOND_LIKELY = "random", "second_likely"
# A pass that reuses keys and values adds in another order; a mistake (a wrong window, a wrong position) is far above this.
SAME = 1e-3


def em_drop(found: Labelled) -> Tensor:
    """[N, P, R]: EM before minus EM after."""
    return found["em_before"][:, None, None] - found["em"]


def nll_rise(found: Labelled) -> Tensor:
    """[N, P, R], nats per token: NLL after minus NLL before."""
    return found["nll"] - found["nll_before"][:, None, None]


def order(found: Labelled) -> Tensor:
    """[N, P * R] int64: the replacements of each row, lowest EM first (of several: highest NLL), missing ones last."""
    by_nll = found["nll"].flatten(1).nan_to_num(nan=-torch.inf).argsort(dim=1, descending=True, stable=True)
    em = found["em"].flatten(1).nan_to_num(nan=torch.inf).gather(1, by_nll)
    return by_nll.gather(1, em.argsort(dim=1, stable=True))


def worst(found: Labelled) -> tuple[Tensor, Tensor]:
    """Position and number of the replacement that leaves the lowest EM (of several: the highest NLL): [N] int64 each."""
    best, kinds = order(found)[:, 0], len(found.labels["replacement"])
    return best // kinds, best % kinds


@torch.no_grad()
def perturb_tokens(
    model: PreTrainedModel,
    paragraphs: ParagraphSet,
    replacements: int = 1,
    *,
    second_likely: bool = True,
    seed: int = 0,
    batch_size: int = 16,
    reuse: bool = True,
    never: Sequence[int] | None = None,
) -> Labelled:
    """Scores of N continuations with the token at each of P prefix positions (0 too) replaced in R ways, one at a time.

    One pass a replacement; its labels are R times `random` or `second_likely`. tokens: [row, position, replacement] int64, what
    stands there instead; -1: nothing (the first token is not predicted, so there is no second-likely one). em_before [row], em
    [row, position, replacement]: EM of the given continuation, 0..C. nll_before, nll: the same for NLL, nats per token. All
    fp32 but the tokens; NaN where there is no replacement.

    replacements: random tokens a position, seeded, never the token that stands there, never EOS (published_code.md, 10).
    second_likely: also the model's most likely token there other than the one that stands there.
    never: ids that are not drawn (`text_ids.no_text`; None: those that end a text); the second-likely token may end a text.
    reuse: keys and values before a replaced token stay as they are, so only what comes after them is computed; used if the
    model agrees with its plain pass that way. batch_size: sequences a pass.
    What stands in front of the text (BOS) is left alone: nothing stands there instead. Raises UserError if the
    prefix has no token of text.
    """
    n, p = paragraphs.prefixes.shape
    start = paragraphs.text_start
    if start == p:
        raise UserError("the prefix is BOS alone, so no token of it can be perturbed: raise paragraphs.prefix_length")
    length, kinds = paragraphs.continuation_length, (RANDOM,) * replacements + (SECOND_LIKELY,) * second_likely
    tokens = torch.full((n, p, len(kinds)), -1)
    ends = end_tokens(model)
    never = ends if never is None else never
    not_likely = torch.tensor(sorted(set(never) - set(ends)), dtype=torch.int64, device=model.device)
    if n and replacements:
        drawn = draw_replacements(paragraphs.prefixes, vocabulary_size(model), never, replacements, seed)
        tokens[:, start:, :replacements] = drawn[:, start:]
    em, nll = torch.full((2, n, p, len(kinds)), torch.nan)
    em_before, nll_before = torch.empty(2, n)
    for rows in track(torch.arange(n).split(max(1, batch_size // len(kinds))), "perturbing prefixes") if n else ():
        ids = paragraphs.ids[rows].to(model.device)
        cache = DynamicCache() if reuse else None
        logits = model(
            input_ids=ids[:, :-1],
            attention_mask=torch.ones_like(ids[:, :-1]),
            past_key_values=cache,
            use_cache=reuse,
            logits_to_keep=ids.shape[1] - 1 if second_likely else length,
        ).logits
        em_before[rows], nll_before[rows] = _scores(logits[:, -length:], ids[:, p:])
        if second_likely:
            from_here = max(1, start)
            likely = _second_likely(logits[:, from_here - 1 : p - 1], ids[:, from_here:p], not_likely)
            tokens[rows, from_here:, -1] = likely.cpu()
        del logits
        if cache is not None and not int(rows[0]):
            reuse = _agrees(model, ids[:1], tokens[rows[:1], p - 1, :1].to(ids), cache=cache, p=p, length=length)
        for position in range(p):
            there = (tokens[rows[0], position] >= 0).nonzero().flatten()
            if not len(there):
                continue
            new = tokens[rows][:, position, there].to(ids)
            kept = cache if reuse else None
            logits = _perturbed_logits(model, ids, new, position=position, cache=kept, length=length)
            labels = ids[:, p:].repeat_interleave(len(there), 0)
            scores = _scores(logits, labels)
            for all_scores, found in zip((em, nll), scores, strict=True):
                all_scores[rows[:, None], position, there[None, :]] = found.reshape(len(rows), len(there))
    each = ("row", "position", "replacement")
    return Labelled(
        {"row": range(n), "position": range(p), "replacement": kinds},
        {
            "tokens": (each, tokens),
            "em_before": (("row",), em_before),
            "nll_before": (("row",), nll_before),
            "em": (each, em),
            "nll": (each, nll),
        },
    )


def decode_alternatives(
    model: PreTrainedModel, paragraphs: ParagraphSet, perturbations: Labelled, batch_size: int = 16
) -> tuple[Tensor, Tensor]:
    """What the model says after each row's worst perturbation, greedily; where that shares more than C/5 tokens in a row with
    the continuation, after the next worst.

    Returns ([N] int64, number of that perturbation among P * R, -1: every one leaves that much; [N, C] int64, there the
    continuation itself).
    """
    positions = torch.arange(paragraphs.prefix_length).repeat_interleave(len(perturbations.labels["replacement"]))
    tokens, em = perturbations["tokens"].flatten(1), perturbations["em"].flatten(1)
    return choose_perturbations(
        model, paragraphs, positions, tokens=tokens, em=em, order=order(perturbations), batch_size=batch_size
    )


def _perturbed_logits(
    model: PreTrainedModel, ids: Tensor, new: Tensor, *, position: int, cache: DynamicCache | None, length: int
) -> Tensor:
    """Logits [B * R, C, V] of ids [B, I] with each of new [B, R] at the position; cache: of the unperturbed ids."""
    times = new.shape[1]
    sequences = ids[:, (position if cache is not None else 0) :].repeat_interleave(times, 0)
    sequences[:, 0 if cache is not None else position] = new.flatten()
    if cache is None or not position:
        return continuation_logits(model, sequences, length)
    before = DynamicCache(
        [tuple(part[:, :, :position].repeat_interleave(times, 0) for part in pair) for pair in _keys_and_values(cache)]
    )
    logits: Tensor = model(
        input_ids=sequences[:, :-1],
        attention_mask=torch.ones(len(sequences), ids.shape[1] - 1, dtype=torch.int64, device=ids.device),
        past_key_values=before,
        use_cache=True,
        logits_to_keep=length,
    ).logits
    return logits


def _agrees(model: PreTrainedModel, ids: Tensor, new: Tensor, *, cache: DynamicCache, p: int, length: int) -> bool:
    """Whether reusing keys and values up to the last prefix token gives the logits of a plain pass, for one row [1, I]."""
    first = DynamicCache([(keys[:1], values[:1]) for keys, values in _keys_and_values(cache)])
    if int(new) < 0:
        new = (ids[:, p - 1 : p] + 1) % vocabulary_size(model)
    plain, reused = (_perturbed_logits(model, ids, new, position=p - 1, cache=kept, length=length) for kept in (None, first))
    return torch.allclose(plain, reused, rtol=SAME, atol=SAME)


def _keys_and_values(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    """[B, heads, tokens, size] each, by layer."""
    layers: list[Any] = cache.layers
    return [(layer.keys, layer.values) for layer in layers]


def _second_likely(logits: Tensor, tokens: Tensor, never: Tensor) -> Tensor:
    """The most likely token at each position but the one that stands there and those of never [n]: logits [B, T, V], tokens
    [B, T] -> [B, T]."""
    return logits.scatter(-1, tokens.unsqueeze(-1), -torch.inf).index_fill(-1, never, -torch.inf).argmax(-1)


def _scores(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """EM and NLL, [B] each, on the CPU."""
    # One position a row: the loss of [B, C, V] runs across memory, four times as slow on a CPU with a large vocabulary.
    nll = token_nll(logits.flatten(0, 1).unsqueeze(1), labels.flatten().unsqueeze(1)).reshape(labels.shape).mean(1)
    return leading_run(token_hits(logits, labels)).float().cpu(), nll.cpu()
