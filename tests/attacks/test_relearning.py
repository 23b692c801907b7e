"""Relearning against a training loop written out; halves that no cluster straddles; which attempts count."""

import copy
from dataclasses import replace

import attacked
import pytest
import torch

from memunlearn.attacks.relearning import Relearning, batches, held_by_prefixes, prefixes_as_text
from memunlearn.errors import UserError
from memunlearn.models.components import eligible_weights
from memunlearn.models.sparse_delta import base_parameters
from memunlearn.paragraphs.clusters import halves
from memunlearn.paragraphs.paragraph_set import FILL, ParagraphSet
from memunlearn.scoring.score import score

P, C = 7, 9


def trained_by_hand(model, ids, first, *, orders, rate):
    """Steps of AdamW on the eligible weights, loss on the tokens from `first` on."""
    model = copy.deepcopy(model)
    eligible = {weight.name for weight in eligible_weights(model)}
    trained = [parameter for name, parameter in base_parameters(model).items() if name in eligible]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.01)
    for rows in orders:
        total, tokens = 0.0, 0
        for row in rows.tolist():
            logits = model(ids[row : row + 1]).logits[0].log_softmax(-1)
            for place in range(first, ids.shape[1]):
                total, tokens = total - logits[place - 1, ids[row, place]], tokens + 1
        model.zero_grad()
        (total / tokens).backward()
        optimizer.step()
    return model


@pytest.fixture
def target(half_trained, sets):
    return attacked.target_of(half_trained, sets.forget, sets.clusters["forget"], sets.retain)


@pytest.mark.parametrize("on", ["half", "prefixes", "unrelated"])
def test_the_model_is_trained_as_a_plain_loop_would(half_trained, sets, target, on):
    relearning = Relearning(trained_on=(on,), steps=(1, 3), learning_rates=(1e-3,), batch_rows=2)
    attempts = attacked.attack(relearning, half_trained, target)
    attacked_rows, other = halves(target.clusters, 0)
    ids, first, measured = {
        "half": (sets.forget.ids[attacked_rows], P, other),
        "prefixes": (sets.forget.prefixes, 1, torch.arange(5)),
        "unrelated": (sets.retain.ids, P, torch.arange(5)),
    }[on]
    assert [dict(attempt.settings) for attempt in attempts] == [{"on": on, "lr": 1e-3, "steps": n} for n in (1, 3)]
    for attempt, steps in zip(attempts, (1, 3), strict=True):
        model = trained_by_hand(half_trained, ids, first, orders=batches(len(ids), 2, 3, 0)[:steps], rate=1e-3)
        scores = score(model, sets.forget.select(measured))
        assert torch.equal(attempt.rows, measured)
        assert torch.allclose(attempt.nll, scores.nll, atol=1e-4) and torch.equal(attempt.em, scores.em)
    assert not torch.allclose(attempts[0].nll, attempts[1].nll, atol=1e-3)


def test_half_counts_only_where_the_attacked_half_came_back(half_trained, sets, target):
    """One step at a tiny rate brings nothing; many bring back what was trained on."""
    weak = Relearning(trained_on=("half",), steps=(1,), learning_rates=(1e-6,))
    strong = Relearning(trained_on=("half",), steps=(60,), learning_rates=(1e-2,))
    attacked_rows, _ = halves(target.clusters, 0)
    (fails,) = attacked.attack(weak, half_trained, target)
    before = float(score(half_trained, sets.forget.select(attacked_rows)).em.double().mean())
    assert before < 0.8 * C and fails.extra == {"attacked_em": pytest.approx(before)}
    assert not fails.counts and "did not come back" in fails.note and f"EM {before:.1f}" in fails.note
    (works,) = attacked.attack(strong, half_trained, target)
    assert works.extra["attacked_em"] >= 0.8 * C and works.counts and not works.note
    (again,) = attacked.attack(strong, half_trained, target)
    assert torch.equal(again.nll, works.nll)
    (other,) = attacked.attack(strong, half_trained, replace(target, seed=5))
    assert other.rows.tolist() != works.rows.tolist()


def test_several_splits_are_read_together(half_trained, sets, target):
    several = Relearning(trained_on=("half",), splits=3, steps=(2, 4), learning_rates=(1e-3,), batch_rows=2)
    together = attacked.attack(several, half_trained, target)
    assert [dict(attempt.settings) for attempt in together] == [{"on": "half", "lr": 1e-3, "steps": n} for n in (2, 4)]
    # Each split by itself, its batches drawn with the target's own seed.
    for number, attempt in enumerate(together):
        rows, em, attacked_em = [], [], []
        for split in range(3):
            learnt, other = halves(target.clusters, split)
            orders = batches(len(learnt), 2, 4, 0)[: attempt.settings["steps"]]
            model = trained_by_hand(half_trained, sets.forget.ids[learnt], P, orders=orders, rate=1e-3)
            rows += other.tolist()
            em += score(model, sets.forget.select(other)).em.tolist()
            attacked_em.append(float(score(model, sets.forget.select(learnt)).em.double().mean()))
        assert attempt.rows.tolist() == rows and attempt.em.tolist() == em, number
        assert attempt.extra["attacked_em"] == pytest.approx(sum(attacked_em) / 3)
    assert len(set(together[0].rows.tolist())) > len(halves(target.clusters, 0)[1])


def test_halves_differ_by_seed():
    clusters = torch.arange(12)
    assert len({tuple(halves(clusters, seed)[0].tolist()) for seed in range(8)}) > 4


def test_batches_use_every_row_before_any_is_drawn_again():
    drawn = batches(7, 3, 8, seed=2)
    assert [len(rows) for rows in drawn] == [3, 3, 1, 3, 3, 1, 3, 3]
    assert sorted(torch.cat(drawn[:3]).tolist()) == sorted(torch.cat(drawn[3:6]).tolist()) == list(range(7))
    assert torch.cat(drawn[:3]).tolist() != torch.cat(drawn[3:6]).tolist()
    assert not all(torch.equal(one, other) for one, other in zip(drawn, batches(7, 3, 8, seed=3), strict=True))


def test_prefixes_hold_no_token_of_the_continuation(sets):
    rows = prefixes_as_text(sets.forget)
    assert torch.equal(rows.ids, sets.forget.prefixes) and rows.prefix_length == 1
    assert torch.equal(rows.continuations, sets.forget.ids[:, 1:P])
    assert prefixes_as_text(replace(sets.forget, text_start=3)).prefix_length == 3
    assert prefixes_as_text(replace(sets.forget, prefix_length=1)) is None


def test_rows_whose_continuation_is_taught_as_a_prefix_are_not_measured(half_trained, sets, capsys):
    """Row 1 begins where row 0 goes on; by a loop over windows no other row does."""
    forget = replace(sets.forget, ids=sets.forget.ids.clone())
    forget.ids[1, :P] = forget.ids[0, P : 2 * P]
    held = held_by_prefixes(forget)
    for row, continuation in enumerate(forget.continuations.tolist()):
        windows = [continuation[i : i + P] for i in range(C - P + 1)]
        assert bool(held[row]) == any(window in forget.prefixes.tolist() for window in windows)
    assert held.tolist() == [True, False, False, False, False]
    target = attacked.target_of(half_trained, forget, sets.clusters["forget"])
    relearning = Relearning(trained_on=("prefixes",), steps=(1,), learning_rates=(1e-4,))
    (attempt,) = attacked.attack(relearning, half_trained, target)
    assert attempt.rows.tolist() == [1, 2, 3, 4] and "1 row not measured" in capsys.readouterr().out


def test_what_there_is_nothing_to_train_on_is_left_out_and_said(half_trained, sets, capsys):
    one = torch.zeros(5, dtype=torch.int64)
    target = attacked.target_of(half_trained, sets.forget, one)
    relearning = Relearning(steps=(1,), learning_rates=(1e-4, 1e-3))
    attempts = attacked.attack(relearning, half_trained, target)
    assert {attempt.settings["on"] for attempt in attempts} == {"prefixes"} and len(attempts) == 2
    said = capsys.readouterr().out
    assert "on=half" in said and "on=unrelated" in said


@pytest.mark.parametrize(
    "setting, value",
    [
        *(("trained_on", value) for value in ((), ("whole",))),
        ("splits", 0),
        *(("steps", value) for value in ((), (0, 5))),
        *(("learning_rates", value) for value in ((), (1e-3, 0.0))),
        *(("batch_rows", value) for value in (0, -1)),
        *(("came_back", value) for value in (-0.1, 1.1)),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting, value):
    with pytest.raises(UserError, match=rf"attacks\.relearning.*{setting}"):
        Relearning(**{setting: value})


def test_short_prefixes_are_no_lesson():
    """There is no token to be predicted where the prefix lacks one."""
    ids = torch.arange(1, 25).reshape(3, 8)
    ids[1, :2] = FILL
    rows = ParagraphSet(ids, 5, tuple("abc"))
    lesson = prefixes_as_text(rows)
    assert lesson.origin == ("a", "c") and torch.equal(lesson.ids, ids[[0, 2], :5])
    assert prefixes_as_text(rows.select([1])) is None
