"""Certificates of random files beside loops over them: no attempt that counts is passed over, no row miscounted."""

import random

import fake_certificates as fake
import pytest

from memunlearn.results.attacks.content import AttemptNumbers
from memunlearn.results.certificate.attempts import KINDS, attack_words, whole, worst_of_all
from memunlearn.results.certificate.content import read_content
from memunlearn.results.certificate.summary import summary
from memunlearn.results.certificate.untested import not_tested

SEEDS = range(12)
SUBJECTS = ("base", "unlearned", "oracle")


def random_attacks(draw):
    """Some of the attacks, each with attempts of any outcome on any model."""
    attacks = fake.attacks()
    names = draw.sample([*KINDS, "own"], draw.randint(1, len(KINDS)))
    one = {"protocol": "p", "sentence": "s", "worst": {}}
    attacks["attacks"] = {name: one | {"attempts": random_attempts(draw)} for name in names}
    return attacks


def random_attempts(draw):
    attempts = []
    for number in range(draw.randint(1, 9)):
        n = draw.randint(1, 40)
        back, counts = draw.choice([0, 0, draw.randint(0, n)]), draw.random() < 0.7
        attempts.append(
            fake.attempt(draw.choice(SUBJECTS), n, 41 * draw.random(), back, counts, "why", steps=number) | {"back": back}
        )
    return attempts


def random_evaluation(draw):
    evaluation = fake.evaluation()
    for row in evaluation["certificate"]["rows"]:
        row |= {
            "cluster": draw.randint(0, 4),
            "em_before": draw.choice([fake.C, draw.randint(0, fake.C)]),
            "em_now": draw.choice([0, fake.C, draw.randint(0, fake.C)]),
            "longest_common_run_now": draw.randint(0, fake.C),
        }
    return evaluation


@pytest.fixture(params=SEEDS)
def drawn(request, tmp_path):
    """(evaluation.json, attacks.json, what is read of them)."""
    draw = random.Random(request.param)
    evaluation, attacks = random_evaluation(draw), random_attacks(draw)
    return evaluation, attacks, read_content(fake.write(tmp_path, evaluation, attacks))


def told(attacks, subject):
    """(name, attempt) of all that count."""
    for name, attack in attacks["attacks"].items():
        for attempt in attack["attempts"]:
            if attempt["subject"] == subject and attempt["counts"]:
                yield name, attempt


def test_the_worst_attempt_is_the_one_with_the_largest_share_of_texts(drawn):
    _, attacks, content = drawn
    # Neither what needs the original model, nor what brings nothing back from it either.
    on_base = {name for name, _ in told(attacks, "base")}
    works = {name for name, one in told(attacks, "base") if one["back"]} | (set(attacks["attacks"]) - on_base)
    counting = [(name, one) for name, one in told(attacks, "unlearned") if name != "partial" and name in works]
    best = max(((one["back"] / one["n"], one["em"], one["back"], name) for name, one in counting), default=None)
    found = worst_of_all(content)
    assert (None if found is None else (found[1].em, whole(found[1]), found[0])) == (best and best[1:])


def test_each_table_shows_the_most_that_came_back(drawn):
    _, attacks, content = drawn
    shown = {words.sentence + words.title: words for words in attack_words(content)}
    assert len(shown) == len(attacks["attacks"])
    who = {"base": "the original model", "unlearned": "the changed model", "oracle": "a model that never saw the texts"}
    for name in attacks["attacks"]:
        words = shown["s" + (KINDS[name].title if name in KINDS else name)]
        backs = {outcome.who: outcome for outcome in words.outcomes}
        for subject in SUBJECTS:
            mine = [one for of, one in told(attacks, subject) if of == name]
            assert (who[subject] in backs) == bool(mine)
            if mine:
                _, _, back, n = max((one["back"] / one["n"], one["em"], one["back"], one["n"]) for one in mine)
                assert backs[who[subject]].back == f"{back} of {n}" and backs[who[subject]].attempts == len(mine)


def test_in_short_counts_rows(drawn):
    evaluation, _, content = drawn
    rows = evaluation["certificate"]["rows"]
    before, now = (sum(row[key] == fake.C for row in rows) for key in ("em_before", "em_now"))
    first, second, *_ = summary(content)
    assert f"recites {before} of 7 whole; the changed model recites {now} of 7." in first
    assert f"in {len({row['cluster'] for row in rows})} group" in first
    assert f"gets {sum(row['em_now'] for row in rows) / 7:.1f} right" in second
    longest = max(row["longest_common_run_now"] for row in rows)
    assert f"is {longest} token{'' if longest == 1 else 's'} long" in second


def test_each_attack_is_tested_or_listed(drawn):
    _, attacks, content = drawn
    counted = {name for name, _ in told(attacks, "unlearned")}
    lines = [line for line in not_tested(content) if "tried" in line]
    assert len(lines) == len(set(KINDS) - {"partial"} - counted)
    for name in set(KINDS) - {"partial"} - counted:
        assert any(f"({name})" in line for line in lines)


def a_try(n, memorized):
    numbers = {"em": 0.0, "longest_run": 0.0, "nll": 1.0, "memorized": memorized}
    return AttemptNumbers(subject="unlearned", settings={}, n=n, clusters=n, **numbers)


def test_shares_are_whole_texts_again():
    """However a share was rounded on its way through a file."""
    for n in range(1, 500):
        for back in {0, 1, n // 3, n - 1, n}:
            assert whole(a_try(n, float(f"{back / n:.6f}"))) == back
