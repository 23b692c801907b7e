"""What was not tested is said, all of it."""

import fake_certificates as fake
import pytest

from memunlearn.results.certificate.attempts import KINDS
from memunlearn.results.certificate.content import read_content
from memunlearn.results.certificate.untested import ALWAYS, not_tested


def said(folder, attacked=None, **changed):
    return not_tested(read_content(fake.write(folder, attacked=attacked, **changed)))


def test_without_attacks_every_attack_is_listed(tmp_path):
    lines = said(tmp_path)
    for name in set(KINDS) - {"partial"}:
        assert f"{KINDS[name].title} ({name}): not tried." in lines
    assert not any("partial" in line for line in lines) and lines[-len(ALWAYS) :] == list(ALWAYS)


def test_with_attacks_those_that_were_not_run_are_listed(tmp_path):
    lines = said(tmp_path, fake.attacks())
    assert not any("relearning" in line or "few_shot" in line for line in lines)
    assert "Asking many times (sampling): not tried." in lines
    assert "Leaving parts out (pruning): tried, but no attempt on the changed model says anything." in lines


def test_comparisons_that_are_absent_are_listed(tmp_path):
    lines = said(tmp_path)
    for word in ("oracle", "membership", "benchmarks"):
        assert sum(f"({word})" in line for line in lines) == 1
    there = {"oracle": {"models": {}}, "membership": {"scores": {"nll": {}}}, "lm_eval": {"tasks": []}}
    lines = said(tmp_path, **there)
    assert not any(f"({word})" in line for line in lines for word in ("oracle", "membership", "benchmarks"))


def test_membership_that_could_not_be_measured_says_why(tmp_path):
    lines = said(tmp_path, membership={"scores": None, "reason": "there are no never-seen rows"})
    assert any(line.endswith("(membership): not measured, there are no never-seen rows.") for line in lines)


@pytest.mark.parametrize("name, word", [("bystander", "(bystanders)"), ("retain", "ordinary text")])
def test_sets_that_were_not_measured_are_listed(name, word, tmp_path):
    assert not any(word in line for line in said(tmp_path))
    sets = fake.evaluation()["sets"] | {name: None}
    assert sum(word in line for line in said(tmp_path, sets=sets)) == 1


def test_texts_that_it_seems_to_know_are_no_bystanders(tmp_path):
    sets = fake.evaluation()["sets"] | {"bystander": None, "suspected": fake.entry(9, 33.5, 4 / 9)}
    (line,) = [line for line in said(tmp_path, sets=sets) if "(bystanders)" in line]
    assert line.endswith("(bystanders): not measured, but of some that it seems to know (suspected).")


def test_rows_that_were_not_found_are_listed(tmp_path):
    lines = said(tmp_path, roles={"forget": {"found": 7, "of": 9}})
    assert "2 texts that the change was made for: not found, so not asked for here." in lines


def test_texts_of_the_model_itself_are_no_training_text(tmp_path):
    assert any("what the model itself wrote" in line for line in said(tmp_path, self_generated=True))
