"""Runs of right tokens against loops."""

import naive_scoring as naive
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memunlearn.scoring.runs import leading_run, longest_common_run, longest_run

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
