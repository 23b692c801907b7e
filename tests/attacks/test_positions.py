"""Prefixes from other places of a row, against plain passes over each row's own tokens."""

import dataclasses

import naive_scoring as naive
import pytest
import tiny_architectures as tiny
import torch
from attacked import attack, target_of

from memunlearn.attacks.positions import Positions, shifted, shortened
from memunlearn.errors import UserError
from memunlearn.paragraphs.paragraph_set import ParagraphSet


def numbered(text_start=0):
    """Rows whose tokens are their own places, 100 apart: P = 5, C = 4."""
    ids = torch.stack([torch.arange(9) + 100 * row for row in range(3)])
    return ParagraphSet(ids, 5, ("a", "b", "c"), text_start)


def naive_window(model, row, start, prefix, length):
    """(EM, longest run, NLL) of the tokens from `prefix` on, when the model is given row[start:] up to each."""
    window = row[start:]
    said, _ = naive.greedy(model, window[: prefix - start], length - prefix)
    logits = naive.logits_of(model, window)
    hits = [int(logits[i].argmax()) == int(window[i + 1]) for i in range(prefix - start - 1, len(window) - 1)]
    nll = naive.token_nll(model, window, prefix - start)
    return naive.agreement(said, row[prefix:]), naive.longest(hits), sum(nll) / len(nll)


def test_a_shifted_prefix_is_as_long_and_the_rest_is_measured():
    moved = shifted(numbered(), 2)
    assert moved.prefixes[1].tolist() == [102, 103, 104, 105, 106] and moved.continuations[1].tolist() == [107, 108]
    assert torch.equal(shifted(numbered(), 0).ids, numbered().ids) and moved.origin == ("a", "b", "c")


def test_a_shortened_prefix_keeps_its_last_tokens():
    short = shortened(numbered(), 3)
    assert short.prefixes[2].tolist() == [202, 203, 204] and short.continuations[2].tolist() == [205, 206, 207, 208]
    assert torch.equal(shortened(numbered(), 5).ids, numbered().ids)


def test_bos_stays_in_front():
    moved, short = shifted(numbered(text_start=1), 2), shortened(numbered(text_start=1), 2)
    assert moved.ids[0].tolist() == [0, 3, 4, 5, 6, 7, 8] and (moved.prefix_length, moved.text_start) == (5, 1)
    assert short.ids[0].tolist() == [0, 3, 4, 5, 6, 7, 8] and (short.prefix_length, short.text_start) == (3, 1)


def test_every_place_is_what_a_plain_pass_over_those_tokens_says(half_trained, sets):
    forget = sets.forget
    target = target_of(half_trained, forget, sets.clusters["forget"])
    attempts = attack(Positions(shifts=(1, 4), lengths=(2, 5)), half_trained, target)
    assert [dict(attempt.settings) for attempt in attempts] == [
        {"shift": 0, "prefix": 7},
        {"shift": 1, "prefix": 7},
        {"shift": 4, "prefix": 7},
        {"shift": 0, "prefix": 2},
        {"shift": 0, "prefix": 5},
        {"shift": "any", "prefix": "any"},
    ]
    windows = [(0, 7), (1, 8), (4, 11), (5, 7), (2, 7)]  # start, and where the measured tokens begin
    for attempt, (start, prefix) in zip(attempts[:-1], windows, strict=True):
        expected = [naive_window(half_trained, row, start, prefix, 16) for row in forget.ids]
        assert attempt.em.tolist() == [em for em, _, _ in expected]
        assert attempt.longest_run.tolist() == [run for _, run, _ in expected]
        assert attempt.nll.tolist() == pytest.approx([nll for _, _, nll in expected], rel=1e-4)
        assert attempt.counts is (start > 0) and attempt.rows.tolist() == list(range(5))
        assert attempt.whole.tolist() == [em == 16 - prefix for em, _, _ in expected]
    assert len({tuple(attempt.em.tolist()) for attempt in attempts}) > 2


def test_of_every_row_the_largest_counts(half_trained, sets):
    attempts = attack(Positions((1, 3), (4,)), half_trained, target_of(half_trained, sets.forget, sets.clusters["forget"]))
    _, *places, largest = attempts  # the row as it stands is no attempt
    for row in range(5):
        assert largest.whole[row] == any(bool(place.whole[row]) for place in places)
        assert largest.em[row] == max(int(place.em[row]) for place in places)
        assert largest.longest_run[row] == max(int(place.longest_run[row]) for place in places)
        assert largest.nll[row] == min(float(place.nll[row]) for place in places)


def test_what_the_rows_are_too_short_for_is_left_out(reciting, sets):
    target = target_of(reciting, sets.forget, sets.clusters["forget"])
    settings = [dict(one.settings) for one in attack(Positions((8, 9, 20), (6, 7, 40)), reciting, target)]
    assert settings == [
        {"shift": 0, "prefix": 7},
        {"shift": 8, "prefix": 7},
        {"shift": 0, "prefix": 6},
        {"shift": "any", "prefix": "any"},
    ]
    with_bos = dataclasses.replace(sets.forget, text_start=1)
    assert dict(attack(Positions((), (6, 5)), reciting, target_of(reciting, with_bos, target.clusters))[1].settings) == {
        "shift": 0,
        "prefix": 5,
    }


def test_a_model_that_recites_from_one_place_only_is_found_there(sets):
    """Trained on the second half of the prefixes alone, without what stands before them."""
    model, rows = tiny.tiny_model("gpt_neo"), shortened(sets.forget, 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model(rows.ids, labels=rows.ids).loss.backward()
        optimizer.step()
    model.zero_grad()
    attempts = attack(Positions((), (3,)), model.eval(), target_of(model, sets.forget, sets.clusters["forget"]))
    as_it_stands, shorter, largest = (float(attempt.em.double().mean()) for attempt in attempts)
    assert shorter > as_it_stands + 2 and largest >= shorter


@pytest.mark.parametrize("settings", [{"shifts": (0, 1)}, {"shifts": (2, 2)}, {"lengths": (-1,)}])
def test_settings_that_say_nothing_are_refused(settings):
    with pytest.raises(UserError, match=f"attacks.positions.{next(iter(settings))}"):
        Positions(**settings)
