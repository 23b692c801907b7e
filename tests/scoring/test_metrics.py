"""EM and longest run against loops over booleans; the metrics keep the order of rows through batches of any size."""

import naive_scoring as naive
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memunlearn.objectives.losses import token_kl, token_nll
from memunlearn.scoring.metrics import (
    ExactMatch,
    LongestRun,
    ReferenceKL,
    TokenNLL,
    leading_run,
    longest_common_run,
    longest_run,
    token_hits,
)

quick = settings(max_examples=200, deadline=None)
hit_tables = st.integers(1, 12).flatmap(
    lambda length: st.lists(st.lists(st.booleans(), min_size=length, max_size=length), min_size=1, max_size=6)
)


@quick
@given(hits=hit_tables)
def test_exact_match_counts_hits_before_the_first_miss(hits):
    counted = leading_run(torch.tensor(hits))
    assert counted.dtype == torch.int64
    assert counted.tolist() == [next((i for i, hit in enumerate(row) if not hit), len(row)) for row in hits]


@quick
@given(hits=hit_tables)
def test_longest_run_is_the_longest_at_any_offset(hits):
    counted = longest_run(torch.tensor(hits))
    assert counted.dtype == torch.int64
    assert counted.tolist() == [naive.longest(row) for row in hits]
    assert bool((counted >= leading_run(torch.tensor(hits))).all())


few_tokens = st.integers(0, 2)  # so that runs are long, and break often


@quick
@given(data=st.data(), rows=st.integers(1, 5), lengths=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_longest_common_run_against_a_double_loop(data, rows, lengths):
    one, other = (
        torch.tensor([data.draw(st.lists(few_tokens, min_size=length, max_size=length)) for _ in range(rows)])
        for length in lengths
    )
    counted = longest_common_run(one, other)
    assert counted.dtype == torch.int64
    assert counted.tolist() == [naive.common_run(*pair) for pair in zip(one.tolist(), other.tolist(), strict=True)]
    assert torch.equal(counted, longest_common_run(other, one))


def test_longest_common_run_stands_at_any_place_in_either_text():
    text = torch.arange(50)
    moved = torch.cat([torch.arange(900, 920), text[11:24], torch.arange(920, 937)])
    assert longest_common_run(text[None], moved[None]).tolist() == [13]
    assert longest_common_run(text[None], text[None]).tolist() == [50]
    assert longest_common_run(text[None], text[None] + 50).tolist() == [0]
    assert longest_common_run(text[None, ::2], text[None]).tolist() == [1]  # together often, never in a row
    assert longest_common_run(text[:0].view(0, 50), text[:0].view(0, 50)).shape == (0,)


def logits_that_hit(hits, seed=0):
    """Random logits [B, C, V] and labels whose hits are these."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(*hits.shape, 13, generator=generator)
    best = logits.argmax(-1)
    return logits, torch.where(hits, best, (best + 5) % 13)


def some_hits(rows=11, length=7):
    return torch.rand(rows, length, generator=torch.Generator().manual_seed(3)) < 0.7


def test_a_hit_is_the_most_likely_token():
    hits = some_hits()
    logits, labels = logits_that_hit(hits)
    assert torch.equal(token_hits(logits, labels), hits)


@pytest.mark.parametrize("sizes", [[11], [1] * 11, [4, 1, 6], [5, 5, 1]], ids=str)
def test_batches_of_any_size_give_the_rows_in_order(sizes):
    hits = some_hits()
    logits, labels = logits_that_hit(hits)
    reference = torch.randn(logits.shape, generator=torch.Generator().manual_seed(4))
    em, run, nll, kl = ExactMatch(), LongestRun(), TokenNLL(), ReferenceKL()
    for x, y, r in zip(logits.split(sizes), labels.split(sizes), reference.split(sizes), strict=True):
        for metric in (em, run, nll):
            metric.update(x, y)
        kl.update(r, x)
    assert em.compute().tolist() == leading_run(hits).tolist() and len(set(em.compute().tolist())) > 3
    assert run.compute().tolist() == longest_run(hits).tolist() != em.compute().tolist()
    torch.testing.assert_close(nll.compute(), token_nll(logits, labels))
    torch.testing.assert_close(kl.compute(), token_kl(reference, logits).mean(1))
    assert nll.compute().shape == (11, 7) and kl.compute().shape == (11,)


def test_a_metric_can_be_reset_and_used_again():
    logits, labels = logits_that_hit(some_hits())
    em = ExactMatch()
    em.update(logits, labels)
    first = em.compute()
    em.reset()
    em.update(logits[2:5], labels[2:5])
    assert em.compute().tolist() == first[2:5].tolist()
