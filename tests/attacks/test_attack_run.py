"""All attacks on all models: what is done, what is not done again, and what is made of it."""

import attacked
import pytest
import torch
from scipy.stats import beta

from memunlearn.attacks.attempt import Attempt
from memunlearn.attacks.material import Subject
from memunlearn.attacks.run import Attacked, protocol_of, run_attacks
from memunlearn.attacks.sentence import sentence
from memunlearn.attacks.summary import attack_entry, attempt_entry, place_of_worst, row_columns

C = 9


class Guess:
    """Guesses the text.
    From nothing.

    Settings would stand here.
    """

    name = "guess"

    def __init__(self):
        self.called = []

    def __call__(self, subject, target):
        self.called.append(subject.name)
        return [attempt([3, 9], counts=subject.name == "base")]


def attempt(em, counts=True, rows=None, **settings):
    em = torch.tensor(em)
    rows = torch.arange(len(em)) if rows is None else torch.tensor(rows)
    note = "" if counts else "too weak"
    return Attempt(
        settings=settings or {"steps": 1}, rows=rows, em=em, longest_run=em + 0, nll=em / 10, counts=counts, note=note
    )


@pytest.fixture
def subjects(reciting, half_trained):
    return [Subject("base", reciting), Subject("unlearned", half_trained)]


def test_each_attack_meets_each_model_once_and_is_kept_at_once(reciting, sets, subjects):
    target = attacked.target_of(reciting, sets.forget, sets.clusters["forget"])
    one, other, kept = Guess(), Guess(), []
    earlier = Attacked("one", "unlearned", [attempt([1, 2])], 7.0)
    done = run_attacks(
        {"one": one, "other": other},
        subjects,
        target,
        known=lambda name, subject: earlier if (name, subject) == ("one", "unlearned") else None,
        keep=lambda found: kept.append((found.attack, found.subject, list(one.called), list(other.called))),
    )
    assert [(found.attack, found.subject) for found in done] == [
        *(("one", "base"), ("one", "unlearned"), ("other", "base"), ("other", "unlearned"))
    ]
    assert done[1] is earlier and one.called == ["base"] and other.called == ["base", "unlearned"]
    assert kept == [
        ("one", "base", ["base"], []),
        ("other", "base", ["base"], ["base"]),
        ("other", "unlearned", ["base"], ["base", "unlearned"]),
    ]


def test_the_protocol_is_the_first_paragraph_of_the_docstring():
    assert protocol_of(Guess()) == "Guesses the text. From nothing."


def test_numbers_of_an_attempt_by_hand():
    """Of rows 1, 3, 4 ... of 24 the clusters are counted, not the places; intervals are over clusters."""
    rows = [1, *range(3, 24)]
    em = [9, 9, 0, *[2] * 19]
    clusters = torch.arange(24)
    clusters[4] = clusters[3]
    entry = attempt_entry(attempt(em, rows=rows, steps=5, lr=0.1), clusters, C, seed=0)
    assert (entry["n"], entry["clusters"], entry["settings"]) == (22, 21, {"steps": 5, "lr": 0.1})
    assert entry["em"] == pytest.approx(56 / 22) and entry["nll"] == pytest.approx(5.6 / 22)
    assert entry["memorized"] == pytest.approx(2 / 22)
    low, high = entry["em_ci"]
    assert 0 <= low < 56 / 22 < high <= C
    # Clopper and Pearson with N^2 / sum of squared cluster sizes in place of N.
    size = 22**2 / (20 + 4)
    hits = size * 2 / 22
    assert entry["memorized_ci"] == pytest.approx(
        [beta.ppf(0.025, hits, size - hits + 1), beta.ppf(0.975, hits + 1, size - hits)], rel=1e-6
    )


def test_the_worst_counts_and_has_the_highest_em():
    assert place_of_worst([attempt([9, 9], counts=False), attempt([1, 4]), attempt([2, 4]), attempt([5, 1])]) == 2
    assert place_of_worst([attempt([9, 9], counts=False)]) is None
    assert place_of_worst([]) is None


def entry_of(done):
    return attack_entry(done, protocol="How.", clusters=torch.arange(3), length=C, seed=0)


def test_the_entry_of_an_attack():
    done = [
        Attacked("guess", "base", [attempt([9, 9, 9]), attempt([9, 9, 0], steps=2)], 2.0),
        Attacked("guess", "unlearned", [attempt([9, 9, 9], counts=False), attempt([9, 0, 0], steps=2)], 3.0),
        Attacked("guess", "oracle", [attempt([0, 1, 2])], 1.0),
    ]
    entry = entry_of(done)
    assert entry["worst"] == {"base": 0, "unlearned": 3, "oracle": 4}
    assert entry["seconds"] == 6.0 and entry["protocol"] == "How."
    assert [one["subject"] for one in entry["attempts"]] == ["base", "base", "unlearned", "unlearned", "oracle"]
    assert entry["sentence"] == (
        "On the unlearned model the one attempt that counts (steps 2) brought back 1 of 3 rows whole (EM 3.0 of 9 on average); "
        "the base model treated the same way says 2 of 3 rows whole (EM 6.0 of 9 on average); "
        "the oracle, which never saw the text, says after its worst (steps 1) 0 of 3 rows whole (EM 1.0 of 9 on average)."
    )


def test_sentences_where_nothing_counts_and_where_nothing_was_tried():
    nothing = entry_of([Attacked("guess", "unlearned", [attempt([9, 9, 9], counts=False), attempt([0], counts=False)], 1.0)])
    assert nothing["worst"] == {"unlearned": None}
    assert nothing["sentence"] == "None of 2 attempts on the unlearned model counts: too weak."
    assert entry_of([Attacked("guess", "base", [], 1.0)])["sentence"] == "Nothing was tried here."
    assert sentence([], {}, C) == "Nothing was tried here."


def test_the_base_model_alone_has_a_sentence_of_its_own():
    said = entry_of([Attacked("guess", "base", [attempt([9, 9, 9], lr=2e-5), attempt([9, 9, 9], lr=1e-3)], 1.0)])["sentence"]
    assert said == (
        "On the base model the worst of 2 attempts (lr 2e-05) brought back 3 of 3 rows whole (EM 9.0 of 9 on average)."
    )


def test_rows_of_every_attempt():
    done = [
        Attacked("one", "base", [attempt([1, 2], rows=[2, 0])], 1.0),
        Attacked("two", "base", [attempt([3])], 1.0),
        Attacked("one", "unlearned", [attempt([4]), attempt([5], rows=[1])], 1.0),
    ]
    columns = row_columns(done, torch.tensor([7, 8, 9]))
    assert columns["attack"] == ["one", "one", "two", "one", "one"]
    assert columns["attempt"] == [0, 0, 0, 1, 2]
    assert columns["subject"] == ["base", "base", "base", "unlearned", "unlearned"]
    assert (columns["row"], columns["cluster"]) == ([2, 0, 0, 0, 1], [9, 7, 7, 7, 8])
    assert columns["em"] == columns["longest_run"] == [1, 2, 3, 4, 5]
    assert columns["nll"] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
