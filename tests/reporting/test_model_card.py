"""The model card of what is shared: its head, its numbers, and what it owns up to."""

import dataclasses

import fake_results
import pytest
import yaml

from memunlearn.reporting.model_card import Shared, base_on_the_hub, model_card
from memunlearn.results.tables import interval_text, value_text
from memunlearn.scoring.metrics import EM, KL

PATCH = Shared(name="me/p", license="mit", is_patch=True, base="some/base", base_fingerprint="f" * 64, k=786)
CHECKPOINT = Shared(name="me/c", license="other", is_patch=False, base=None, base_fingerprint="f" * 64, k=786)


def head(card):
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


def table(card, title):
    """The rows below a heading, split into cells, without the table's head."""
    part = card.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_the_head_says_what_it_is():
    assert head(model_card(fake_results.result(), PATCH)) == {
        "base_model": "some/base",
        "library_name": "memunlearn",
        "license": "mit",
        "tags": ["memunlearn", "unlearning", "memorization"],
    }
    other = head(model_card(fake_results.result(), CHECKPOINT))
    assert "base_model" not in other and other["library_name"] == "transformers" and other["license"] == "other"


def test_every_set_stands_there_before_and_after_with_its_intervals():
    result = fake_results.result()
    rows = table(model_card(result, PATCH), "What was measured")
    assert {row[0] for row in rows} == {"forget", "bystander", "retain"}
    for name in ("forget", "bystander", "retain"):
        before, after = result["before"][name], result["after"][name]
        found = next(row for row in rows if row[0] == name and row[2].startswith("EM, tokens"))
        assert found[1] == f"{after['n']:,} rows, {after['clusters']:,} clusters"
        assert found[3] == f"{value_text(EM, before)} ({interval_text(EM, before)})"
        assert found[4] == f"{value_text(EM, after)} ({interval_text(EM, after)})"
        assert [name, found[1], "KL, nats per token", value_text(KL, before), value_text(KL, after)] in rows


def test_attempts_are_told_or_said_to_be_lacking():
    card = model_card(fake_results.result(), PATCH)
    assert "None was made in this run" in card and "- Attempts to get the text back: none was made." in card
    attacks = {"relearning": {"em": 12.34, "memorized": 0.25}, "pruning": None}
    told = model_card(fake_results.result(attacks=attacks), PATCH)
    assert table(told, "Attempts to get the text back") == [["relearning", "12.3", "25.0"], ["pruning", "-", "-"]]
    assert "none was made" not in told.lower()


def test_what_was_not_measured_is_said():
    result = fake_results.result()
    assert "(bystanders): not measured" not in model_card(result, PATCH)
    for when in ("before", "after"):
        result[when]["bystander"] = None
    assert "What happened to other text that the model recites (bystanders): not measured." in model_card(result, PATCH)


def test_a_diverged_run_says_so():
    assert "**This run diverged**" in model_card(fake_results.result(stopped_because="nan"), PATCH)
    assert "diverged" not in model_card(fake_results.result(), PATCH)


def test_a_checkpoint_that_was_rounded_says_what_the_numbers_are_of():
    rounded = dataclasses.replace(CHECKPOINT, dtype="bfloat16")
    assert "measured in float32, before the weights were rounded to bfloat16" in model_card(fake_results.result(), rounded)
    whole = model_card(fake_results.result(), dataclasses.replace(CHECKPOINT, dtype="float32"))
    assert "A plain checkpoint in float32" in whole and "rounded" not in whole


@pytest.mark.parametrize("shared", [PATCH, CHECKPOINT], ids=["patch", "checkpoint"])
def test_how_to_use_and_repeat_it(shared):
    result = fake_results.result()
    result["environment"]["command"] = "python train.py seed=3"
    result["notes"] = ["one\nnote"]
    card = model_card(result, shared)
    assert "```\npython train.py seed=3\n```" in card and "> one note" in card
    assert ("memunlearn apply --base some/base --patch me/p" in card) == shared.is_patch
    assert ('AutoModelForCausalLM.from_pretrained("me/c")' in card) != shared.is_patch
    assert "\n\n\n" not in card


def test_the_base_is_named_where_the_hub_could_have_it():
    for name, known in {
        "org/model": True,
        "/home/me/model": False,
        "a/b/c": False,
        "model": False,
        None: False,
        7: False,
    }.items():
        found = base_on_the_hub({"config": {"model": {"name_or_path": name}}})
        assert found == (name if known else None)
    assert base_on_the_hub({"config": {}}) is None
