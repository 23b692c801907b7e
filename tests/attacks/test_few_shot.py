"""Other rows in front of a prefix: which, in what order, and what the model makes of it."""

import dataclasses

import naive_scoring as naive
import pytest
import torch
from attacked import attack, target_of

from memunlearn.attacks.few_shot import FewShot, drawn_shots, prompt_length, with_shots
from memunlearn.errors import UserError
from memunlearn.paragraphs.paragraph_set import ParagraphSet

CLUSTERS = torch.tensor([4, 7, 4, 4, 9, 7])


def numbered(text_start=0):
    ids = torch.stack([torch.arange(5) + 10 * row for row in range(1, 7)])
    ids[:, :text_start] = 0
    return ParagraphSet(ids, 3, tuple("abcdef"), text_start)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("shots", [1, 2, 3])
def test_shots_are_different_rows_of_other_clusters(shots, seed):
    chosen = drawn_shots(CLUSTERS, shots, seed)
    for row, others in enumerate(chosen.tolist()):
        assert len(set(others)) == shots and all(CLUSTERS[other] != CLUSTERS[row] for other in others)
    assert torch.equal(chosen, drawn_shots(CLUSTERS, shots, seed))
    assert torch.equal(chosen[:, :1], drawn_shots(CLUSTERS, 1, seed))


def test_every_row_of_another_cluster_is_drawn_as_often():
    drawn = torch.stack([drawn_shots(CLUSTERS, 1, seed)[0, 0] for seed in range(3000)])
    counts = drawn.bincount(minlength=6)
    assert counts[[0, 2, 3]].tolist() == [0, 0, 0]
    assert (counts[[1, 4, 5]] - 1000).abs().max() < 100  # four standard errors


def test_rows_with_too_few_of_other_clusters_are_marked():
    chosen = drawn_shots(torch.tensor([1, 1, 1, 2]), 2, 0)
    assert (chosen[:3, 0] == 3).all() and (chosen[:3, 1] == -1).all() and (chosen[3] >= 0).all()
    assert (drawn_shots(torch.tensor([5, 5]), 1, 0) == -1).all()


def test_the_shots_stand_in_full_before_the_rows_own_prefix():
    prompt = with_shots(numbered(), torch.tensor([0, 4]), torch.tensor([[2, 1], [5, 0]]))
    assert prompt.prefixes[0].tolist() == [30, 31, 32, 33, 34, 20, 21, 22, 23, 24, 10, 11, 12]
    assert prompt.continuations.tolist() == [[13, 14], [53, 54]] and prompt.origin == ("a", "e")
    assert prompt.ids.shape[1] == prompt_length(numbered(), 2) == 15


def test_bos_stands_once_in_front():
    rows = numbered(text_start=1)
    prompt = with_shots(rows, torch.tensor([1]), torch.tensor([[3]]))
    assert prompt.ids[0].tolist() == [0, 41, 42, 43, 44, 21, 22, 23, 24] and prompt.text_start == 1
    assert prompt.continuations[0].tolist() == [23, 24] and prompt.ids.shape[1] == prompt_length(rows, 1)


def test_what_is_measured_is_the_row_after_its_shots(half_trained, sets):
    forget, clusters = sets.forget, sets.clusters["forget"]
    (attempt,) = attack(FewShot((1,)), half_trained, target_of(half_trained, forget, clusters, seed=5))
    chosen = drawn_shots(clusters, 1, 5)
    for row, ids in enumerate(forget.ids):
        window = torch.cat([forget.ids[chosen[row, 0]], ids])
        logits = naive.logits_of(half_trained, window)
        hits = [int(logits[i].argmax()) == int(window[i + 1]) for i in range(16 + 6, 31)]
        nll = naive.token_nll(half_trained, window, 16 + 7)
        assert attempt.em[row] == naive.agreement(torch.tensor(hits), torch.ones(9, dtype=torch.bool))
        assert attempt.longest_run[row] == naive.longest(hits)
        assert float(attempt.nll[row]) == pytest.approx(sum(nll) / 9, rel=1e-4)
    assert attempt.settings == {"shots": 1} and attempt.counts and not attempt.note


def test_what_the_context_cannot_hold_measures_nothing_and_says_why(half_trained, sets):
    one, two = attack(FewShot((2, 1)), half_trained, target_of(half_trained, sets.forget, sets.clusters["forget"]))
    assert one.settings == {"shots": 1} and len(one.rows) == 5 and one.counts  # 32 tokens, which the model just reads
    assert two.settings == {"shots": 2} and len(two.rows) == 0 and not two.counts
    assert two.note == "its shots make 47 tokens of context, and the model has 32"


def test_the_last_token_of_all_takes_no_place_in_the_context(half_trained, sets):
    target = target_of(half_trained, sets.forget, sets.clusters["forget"])
    assert prompt_length(sets.forget, 1) == 32
    for context, fits in ((31, True), (30, False)):
        half_trained.config.max_position_embeddings = context
        (attempt,) = attack(FewShot((1,)), half_trained, target)
        assert attempt.counts is fits and len(attempt.rows) == 5 * fits


def test_rows_without_others_are_left_out(half_trained, sets):
    clusters = torch.tensor([1, 1, 1, 1, 2])
    short = dataclasses.replace(sets.forget, ids=sets.forget.ids[:, :10], prefix_length=7)
    one, two = attack(FewShot((1, 2)), half_trained, target_of(half_trained, short, clusters))
    assert one.rows.tolist() == [0, 1, 2, 3, 4] and two.rows.tolist() == [4]
    (none,) = attack(FewShot((1,)), half_trained, target_of(half_trained, short, torch.zeros(5, dtype=torch.int64)))
    assert not len(none.rows) and none.note == "no row has so many rows of other clusters"


@pytest.mark.parametrize("shots", [(), (0,), (1, 1)])
def test_shots_that_say_nothing_are_refused(shots):
    with pytest.raises(UserError, match=r"attacks\.few_shot\.shots"):
        FewShot(shots)
