"""Scoring: EM of every row, from one pass or by decoding."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import PreTrainedModel

import memunlearn as mu
from benchmarks.speed.matrix_products import all_products, flops, forward_products
from benchmarks.speed.sizes import decoded, random_model, recited_rows
from benchmarks.speed.workload import OURS, PRODUCTS, Given, Workload, measured, same_em

GENERATE = "`generate` with its KV cache, greedy"
LOOP = "a pass for each token, no cache"
PASS = "the bare forward pass"


def em_of_texts(said: Tensor, continuations: Tensor) -> Tensor:
    """[N] int64: leading tokens that agree, of texts [N, C] both."""
    return (said == continuations).long().cumprod(1).sum(1)


@torch.no_grad()
def em_by_decoding(model: PreTrainedModel, rows: mu.ParagraphSet) -> Tensor:
    """[N] int64 from what `generate` says."""
    return em_of_texts(decoded(model, rows.prefixes, rows.continuation_length), rows.continuations)


@torch.no_grad()
def em_by_loop(model: PreTrainedModel, rows: mu.ParagraphSet) -> Tensor:
    """[N] int64, from a pass over all tokens so far for each token of the continuation."""
    ids = rows.prefixes.to(model.device)
    for _ in range(rows.continuation_length):
        logits = model(input_ids=ids, use_cache=False).logits
        ids = torch.cat([ids, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    return em_of_texts(ids[:, rows.prefix_length :].cpu(), rows.continuations)


def scoring(given: Given) -> list[Workload]:
    """EM, NLL and longest run of a batch beside decoding it, and of one row beside the loop of a first script."""
    model = random_model(given.size, given.device)
    rows = recited_rows(model, given.size, given.lengths, given.rows)
    one = rows.select(torch.arange(1))
    autocast = given.autocast

    def under(way: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            with autocast():
                return way()

        return run

    @torch.no_grad()
    def bare_pass(some: mu.ParagraphSet) -> Tensor:
        ids = some.ids[:, :-1].to(model.device)
        logits: Tensor = model(input_ids=ids, logits_to_keep=some.continuation_length, use_cache=False).logits
        return logits

    whole = {
        OURS: under(lambda: mu.score(model, rows, given.rows).em),
        GENERATE: under(lambda: em_by_decoding(model, rows)),
    }
    single = {OURS: under(lambda: mu.score(model, one, 1).em), LOOP: under(lambda: em_by_loop(model, one))}
    products = forward_products(given.size, given.lengths, given.rows)
    alone = all_products(products, given.device, given.precision)
    return [
        measured(
            given,
            whole | {PASS: under(lambda: bare_pass(rows)), PRODUCTS: alone},
            name="scoring",
            title="Scoring a batch",
            rows=given.rows,
            tokens=given.rows * given.lengths.read,
            check=same_em(given, tuple(whole)),
            flops=dict.fromkeys((OURS, PASS, PRODUCTS), flops(products)),
            said="EM, longest run and NLL of each row; decoding gives the same EM.",
        ),
        measured(
            given,
            single,
            name="scoring_loop",
            title="Scoring one row",
            rows=1,
            tokens=given.lengths.read,
            check=same_em(given, tuple(single)),
            said="The same EM.",
        ),
    ]
