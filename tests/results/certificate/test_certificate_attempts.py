"""How attempts ended, in words: numbers worked out by hand from the fake attacks."""

import fake_certificates as fake
import pytest

from memunlearn.results.certificate.attempts import KINDS, attack_words, counting, whole, worst, worst_of_all
from memunlearn.results.certificate.content import read_content


@pytest.fixture
def content(tmp_path):
    return read_content(fake.write(tmp_path, attacked=fake.attacks()))


@pytest.fixture
def words(content):
    return {attack.title: attack for attack in attack_words(content)}


def test_known_kinds_come_first_and_own_ones_are_called_by_their_names(words):
    known = [KINDS[name].title for name in ("few_shot", "pruning", "relearning")]
    assert list(words) == [*known, "own <attack>"]
    assert words["own <attack>"].done == "Protocol of own <attack>."


def test_the_worst_is_after_which_most_came_back_whole(content, words):
    """Not the one with the highest EM (14.92), and not one that does not count (3 of 4)."""
    relearning = words[KINDS["relearning"].title]
    outcomes = {outcome.who: outcome for outcome in relearning.outcomes}
    assert list(outcomes) == ["the changed model", "the original model", "a model that never saw the texts"]
    changed = outcomes["the changed model"]
    assert (changed.attempts, changed.back, changed.em, changed.settings) == (2, "1 of 4", "12.3 of 41", "steps 30, lr 0.0002")
    assert outcomes["the original model"].back == "4 of 4"
    assert outcomes["a model that never saw the texts"].back == "0 of 4"


def test_of_equally_many_texts_the_highest_em_counts(content):
    attempts = [one for one in content.attacks["relearning"].attempts if one.subject == "unlearned"]
    assert worst(attempts[1:2] + attempts[:0]).em == 14.92
    assert whole(worst(attempts)) == 3  # it is for `counting` to leave out what does not count
    assert worst([]) is None


def test_over_all_kinds_two_texts_came_back(content):
    name, attempt = worst_of_all(content)
    assert name == "own <attack>" and whole(attempt) == 2 and attempt.em == 8.76


def test_what_says_nothing_is_said(words):
    assert words[KINDS["pruning"].title].outcomes == []
    assert words[KINDS["pruning"].title].nothing == ["1 attempt on the changed model says nothing: nothing was measured."]
    assert words[KINDS["relearning"].title].nothing == [
        "1 attempt on the changed model says nothing: the half came back to EM <9.87>."
    ]


def test_an_attack_that_fails_on_the_original_model_says_little(words):
    assert "says little" in words[KINDS["few_shot"].title].nothing[0]
    assert not any("says little" in line for line in words["own <attack>"].nothing)


def test_only_what_counts_and_has_numbers_is_counted(content):
    assert [one.em for one in counting(content.attacks["relearning"], "unlearned")] == [12.34, 14.92]
    assert counting(content.attacks["pruning"], "unlearned") == []
    assert worst_of_all(read_without_attacks(content)) is None


def read_without_attacks(content):
    return type(content)(**{**content.__dict__, "attacks": None})


def test_every_kind_is_explained_without_a_word_of_the_trade():
    trade = ("token", "logit", "quantiz", "fine-tun", "optimizer", "gradient", "top-k", "temperature")
    for kind in KINDS.values():
        assert kind.title and kind.done.endswith(".")
        assert not [word for word in trade if word in (kind.title + kind.done).lower()]
