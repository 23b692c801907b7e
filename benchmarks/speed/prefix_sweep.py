"""The prefix sweep: what each replaced prefix token does to a continuation, and the alternative that an edit takes."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

import memunlearn as mu
from benchmarks.speed.scoring import em_of_texts
from benchmarks.speed.sizes import decoded, random_model, recited_rows
from benchmarks.speed.workload import OURS, Given, Workload, measured, same_em
from memunlearn.models.text_config import end_tokens
from memunlearn.scoring.alternatives import draw_replacements

EVERYTHING = "`generate` after every perturbation"


def perturbed_prefixes(rows: mu.ParagraphSet, vocabulary: int, never: list[int]) -> Tensor:
    """[N, P, P] int64: of each row its prefix with the token at each position replaced, as `perturb_tokens` draws it."""
    drawn = draw_replacements(rows.prefixes, vocabulary, never, 1, seed=0).squeeze(-1)
    prefixes = rows.prefixes.unsqueeze(1).repeat(1, rows.prefix_length, 1)
    places = torch.arange(rows.prefix_length)
    prefixes[:, places, places] = drawn
    return prefixes


@torch.no_grad()
def em_by_decoding_all(model: PreTrainedModel, rows: mu.ParagraphSet, never: list[int], batch: int) -> Tensor:
    """[N, P] int64: EM of the continuation after each perturbation, from what `generate` says."""
    prefixes = perturbed_prefixes(rows, model.config.vocab_size, never)
    parts = prefixes.flatten(0, 1).split(batch)
    said = torch.cat([decoded(model, part, rows.continuation_length) for part in parts])
    continuations = rows.continuations.repeat_interleave(rows.prefix_length, 0)
    return em_of_texts(said, continuations).reshape(len(rows), -1)


def prefix_sweep(given: Given) -> list[Workload]:
    """All P perturbations of one recited row."""
    model = random_model(given.size, given.device)
    rows = recited_rows(model, given.size, given.lengths, 1)
    never, batch, autocast = list(end_tokens(model)), given.lengths.prefix, given.autocast

    def swept() -> Tensor:
        # One row is a sequence a position, and no more can be put in one pass where keys and values are used again.
        with autocast():
            return mu.perturb_tokens(model, rows, second_likely=False, batch_size=1)["em"].squeeze(-1)

    def alternatives() -> mu.Alternatives:
        with autocast():
            return mu.find_alternatives(model, rows, batch_size=batch)

    def everything() -> Tensor:
        with autocast():
            return em_by_decoding_all(model, rows, never, batch)

    return [
        measured(
            given,
            {OURS: swept, "its search for an alternative": alternatives, EVERYTHING: everything},
            name="prefix_sweep",
            title="The prefix sweep",
            rows=1,
            tokens=given.lengths.prefix * given.lengths.read,
            check=same_em(given, (OURS, EVERYTHING)),
            said=f"EM after each of {given.lengths.prefix} replaced tokens of one row (`perturb_tokens`), equal to that of "
            "decoding; and with it the text that an edit takes (`find_alternatives`).",
        )
    ]
