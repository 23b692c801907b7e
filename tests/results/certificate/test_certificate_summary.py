"""The first sentences of a certificate, and what it says of everything else: worked out by hand."""

import fake_certificates as fake
import pytest

from memunlearn.results.certificate.content import read_content
from memunlearn.results.certificate.glossary import TERMS
from memunlearn.results.certificate.summary import membership_lines, oracle_lines, set_lines, summary, task_lines


@pytest.fixture
def content(tmp_path):
    return read_content(fake.write(tmp_path, attacked=fake.attacks()))


def test_in_short(content):
    removed, said, tried, others = summary(content)
    assert removed == (
        "7 texts (in 6 groups of near-duplicates) had to be removed. Given the beginning, the original model recites 5 of 7 "
        "whole; the changed model recites 1 of 7."
    )
    # (2 + 0 + 41 + 5 + 1 + 0 + 3) / 7 = 7.43; (5 x 41 + 39 + 17) / 7 = 37.3
    assert "gets 7.4 right from the start on average (the original: 37.3)" in said and "is 41 tokens long" in said
    # Counting attempts on the changed model: 2 of relearning, 1 of the user's own; few_shot fails on the base model, too.
    assert "3 attempts of 2 kinds were made" in tried
    assert "After the worst (own <attack>) 2 of 7 texts came back whole, with 8.8 of 41 tokens" in tried
    assert others == (
        "Of 23 other texts that the model knew by heart and nobody asked to remove, it recited 23 whole before and recites 21 "
        "now."
    )


def test_without_attacks_and_bystanders(tmp_path):
    sets = fake.evaluation()["sets"] | {"bystander": None}
    sentences = summary(read_content(fake.write(tmp_path, sets=sets)))
    assert len(sentences) == 3
    assert sentences[2] == "Beyond asking for them, no attempt to get the texts back was made that says anything."


def test_texts_that_it_seems_to_know_are_told_in_place_of_bystanders(tmp_path):
    evaluation = fake.evaluation()
    evaluation["sets"] |= {"bystander": None, "suspected": fake.entry(9, 33.5, 4 / 9, kl=0.25)}
    evaluation["certificate"]["before"] |= {"bystander": None, "suspected": fake.entry(9, 41.0, 1.0)}
    content = read_content(fake.write(tmp_path, evaluation))
    assert summary(content)[-1] == (
        "Of 9 other texts that the model seemed to know by heart, it recited 9 whole before and recites 4 now."
    )
    line = set_lines(content)[-1]
    assert "not verified (suspected)" in line.title and (line.n, line.whole_now, line.start_now) == ("9", "4", "33.5")


def test_where_nothing_came_back_it_says_none(tmp_path):
    attacks = fake.attacks()
    attacks["attacks"] = {"few_shot": attacks["attacks"]["few_shot"]}
    tried = summary(read_content(fake.write(tmp_path, attacked=attacks)))[2]
    assert tried == "Beyond asking for them, no attempt to get the texts back was made that says anything."


def test_texts_that_are_no_near_duplicates_have_no_groups(tmp_path):
    evaluation = fake.evaluation()
    for number, row in enumerate(evaluation["certificate"]["rows"]):
        row["cluster"] = number
    assert summary(read_content(fake.write(tmp_path, evaluation)))[0].startswith("7 texts had to be removed.")


def test_other_texts(content):
    bystander, retain = set_lines(content)
    assert (bystander.n, bystander.whole_before, bystander.whole_now) == ("23", "23", "21")
    assert (bystander.start_before, bystander.start_now, bystander.change) == ("41.0", "38.6", "0.117")
    assert (retain.n, retain.whole_now, retain.change) == ("59", "0", "0.058")


def test_a_set_that_was_not_measured_before_has_no_line(tmp_path):
    evaluation = fake.evaluation()
    del evaluation["certificate"]["before"]["retain"]
    assert [line.n for line in set_lines(read_content(fake.write(tmp_path, evaluation)))] == ["23"]


def test_beside_an_oracle(tmp_path):
    models = {
        name: {"forget": fake.entry(7, em, share)} for name, em, share in (("unlearned", 7.43, 1 / 7), ("oracle", 0.86, 0))
    }
    scores = {"nll": {"base": {"auroc": 0.994}, "unlearned": {"auroc": 0.613}, "oracle": {"auroc": None}}}
    content = read_content(
        fake.write(tmp_path, oracle={"models": models}, membership={"figure": "membership", "scores": scores})
    )
    assert oracle_lines(content) == [
        ("changed model", "1 of 7", "7.4"),
        ("model that never saw the texts", "0 of 7", "0.9"),
    ]
    assert membership_lines(content) == [("nll", ["0.99", "0.61", "unknown"])]


def test_the_measure_that_tells_most_is_in_the_summary(tmp_path):
    weak = {"base": {"auroc": 0.9}, "unlearned": {"auroc": 0.513}}
    strong = {"base": {"auroc": 0.994}, "unlearned": {"auroc": 0.876}, "oracle": {"auroc": 0.487}}
    membership = {"figure": "membership", "scores": {"nll": weak, "min_k": strong, "none": {"base": {"auroc": 1.0}}}}
    sentences = summary(read_content(fake.write(tmp_path, membership=membership)))
    said = next(sentence for sentence in sentences if "guessing" in sentence)
    assert said.endswith(
        "in a share of 0.88 of all such pairs, where one half is guessing (the original model: 0.99; a model that never saw "
        "the texts: 0.49)."
    )
    shifted = summary(read_content(fake.write(tmp_path, membership=membership | {"figure": "distribution shift"})))
    assert shifted == [sentence for sentence in sentences if sentence != said]


def test_tasks(tmp_path):
    rows = [{"task": "topics", "metric": "acc", "n": 80, "base": {"value": 0.2083}, "unlearned": None}]
    content = read_content(fake.write(tmp_path, lm_eval={"tasks": rows}))
    assert task_lines(content) == [("topics, acc", "80", "0.208", "unknown")]


def test_none_without_them(content):
    assert oracle_lines(content) == membership_lines(content) == task_lines(content) == []


def test_terms_are_explained_once():
    terms = [term for term, _ in TERMS]
    assert len(set(terms)) == len(terms) and all(explanation.endswith(".") for _, explanation in TERMS)
