"""What a search found, in words."""

import math

import pytest

from memunlearn.results.found import MOST_SAMPLES, answer, best_of, measures_p_z, place, recall_sentence, samples_text
from memunlearn.results.samples import p_z_of, samples_of


def text(name, kind, *spans, tokens=100):
    return {"name": name, "kind": kind, "tokens": tokens, "spans": [{"start": a, "end": b} for a, b in spans]}


def test_the_answer_counts_texts_passages_and_tokens():
    texts = [text("a", "not recited"), text("b", "recited", (0, 50), (60, 110)), text("c", "too short", tokens=7)]
    assert [one["name"] for one in best_of(texts)] == ["b", "a", "c"]
    assert answer({"texts": texts, "patch": None}) == (
        "1 of 3 texts is recited by the model, at least in part: 2 passages, 100 of 207 tokens. 1 is too short to be looked at."
    )
    patched = answer({"texts": texts[:1], "patch": {"file": "p"}})
    assert patched == "None of 1 text is recited by the model with the patch."


def test_places_are_counted_from_1():
    span = {"start": 1110, "end": 1160, "first_character": 3540, "end_character": 5110}
    assert place(span) == "characters 3,541 to 5,110"
    assert place(span | {"first_character": None}) == "tokens 1,111 to 1,160"


@pytest.mark.parametrize(("p", "samples"), [(1.0, "1"), (0.5, "1"), (0.49, "2"), (0.1, "7"), (1e-3, "693")])
def test_samples_say_it_with_probability_one_half(p, samples):
    """The fewest n with 1 - (1 - p)^n of .5 or more."""
    n = next(n for n in range(1, 1000) if 1 - (1 - p) ** n >= 0.5 - 1e-12)
    assert samples_text(math.log(p), True) == samples == str(n)
    assert p_z_of(math.log(p)) == pytest.approx(p) and samples_of(math.log(p)) == n


def test_samples_that_nobody_waits_for_and_that_were_not_measured():
    assert samples_text(-60.0, True) == f"> {MOST_SAMPLES:,}" == samples_text(-5000.0, True)
    assert (samples_text(None, True), samples_text(None, False)) == ("never", "-")
    assert samples_of(None) is None and p_z_of(None) is None
    assert measures_p_z({"config": {"p_z": {"top_k": 40}}}) and not measures_p_z({"config": {"p_z": {"top_k": None}}})


def test_the_recall_of_the_screen():
    assert recall_sentence({"recall": None}) is None
    assert "none is recited" in recall_sentence({"recall": {"found": 0, "of": 0}})
    assert "found 478 of 1,480 recited windows (recall 0.323)" in recall_sentence({"recall": {"found": 478, "of": 1480}})
