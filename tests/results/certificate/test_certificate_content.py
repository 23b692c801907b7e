"""Reading what a certificate is made of: whole, or refused in one line."""

import json

import fake_certificates as fake
import pytest

from memunlearn.errors import UserError
from memunlearn.results.certificate.content import has_certificate, read_content


def test_everything_is_read(tmp_path):
    content = read_content(fake.write(tmp_path, fake.evaluation(texts=True), fake.attacks()))
    assert [row.em_now for row in content.facts.rows] == fake.EM_NOW
    assert [row.longest_common_run_before for row in content.facts.rows] == fake.COMMON_BEFORE
    assert content.facts.rows[2].texts.original == f"original of c {fake.HOSTILE}"
    assert content.facts.hashes == fake.HASHES and content.seed == 19 and content.notes == ("What it is evidence for.",)
    assert list(content.attacks) == ["relearning", "few_shot", "pruning", "own <attack>"]
    assert content.attacks["relearning"].attempts[1].settings == {"steps": 30, "lr": 0.0002}
    assert content.now["near"] is None and content.facts.before["bystander"]["n"] == 23


def test_attacks_may_be_absent(tmp_path):
    content = read_content(fake.write(tmp_path))
    assert content.attacks is content.oracle is content.membership is content.lm_eval is None
    assert all(row.texts is None for row in content.facts.rows)


def test_a_folder_has_a_certificate_where_one_was_asked_for(tmp_path):
    assert not has_certificate(tmp_path)
    evaluation = fake.evaluation()
    del evaluation["certificate"]
    assert not has_certificate(fake.write(tmp_path, evaluation))
    with pytest.raises(UserError, match="holds nothing for a certificate"):
        read_content(tmp_path)
    assert has_certificate(fake.write(tmp_path))


@pytest.mark.parametrize("key, value", [("em_now", "many"), ("sha256", None), ("cluster", [1])])
def test_a_damaged_row_is_refused_by_its_place(key, value, tmp_path):
    evaluation = fake.evaluation()
    evaluation["certificate"]["rows"][4][key] = value
    with pytest.raises(UserError, match=rf"facts\.rows\.4\.{key}.*certificate=true"):
        read_content(fake.write(tmp_path, evaluation))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"attacks": NaN}', '{"attacks": 3}'])
def test_damaged_attacks_are_refused(text, tmp_path):
    fake.write(tmp_path)
    (tmp_path / "attacks.json").write_text(text)
    with pytest.raises(UserError) as refused:
        read_content(tmp_path)
    assert "\n" not in str(refused.value) and str(tmp_path) in str(refused.value)


@pytest.mark.parametrize("name", ["base", "unlearned"])
def test_attacks_on_another_model_are_refused(name, tmp_path):
    attacks = fake.attacks()
    attacks["hashes"][name] = "0" * 64
    with pytest.raises(UserError, match=f"about another {name} model"):
        read_content(fake.write(tmp_path, attacked=attacks))


def test_an_evaluation_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="evaluation.json cannot be read"):
        read_content(tmp_path)
    (tmp_path / "evaluation.json").write_text(json.dumps({"certificate": {}}))
    with pytest.raises(UserError, match="the certificate cannot be made"):
        read_content(tmp_path)
