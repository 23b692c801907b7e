import fake_results
import pytest

from memunlearn.reporting.sentence import result_sentence


def test_the_sentence_says_what_happened():
    assert result_sentence(fake_results.result()) == (
        "Training stopped after 37 steps because the forget set had reached its target: over 64 rows in 61 clusters, "
        "forget EM fell from 50.0 to 3.1 tokens (95 % interval 2.8 to 3.6), its longest run fell from 50.0 to 8.4 tokens, "
        "bystander EM fell from 50.0 to 48.8 tokens, and retain KL is 0.0121 nats per token."
    )


def test_where_no_check_was_kept_it_says_so():
    sentence = result_sentence(fake_results.result(steps=1, stopped_because="max_kl", kept_step=0))
    assert sentence.startswith(
        "Training stopped after 1 step because the KL limit was reached, and no check was better than the base model, which "
        "was kept: over 64 rows"
    )


def test_edits_name_the_alternative():
    sentence = result_sentence(fake_results.result(edit=True))
    assert "the alternative is recited for 44.2 tokens (before: 1.2)" in sentence


@pytest.mark.parametrize(
    "protocol", ["per_paragraph", {"name": "per_paragraph"}, {"_target_": "memunlearn.unlearning.per_paragraph.run"}]
)
def test_trials_are_said_to_be_pooled(protocol):
    sentence = result_sentence(fake_results.result(config={"protocol": protocol}))
    assert sentence.startswith("One paragraph at a time, with the model restored between trials: over 64 rows")


def test_nothing_to_unlearn_and_nothing_else_known():
    result = fake_results.result(steps=1, stopped_because="nan")
    result["before"] = {"forget": None, "bystander": None, "near": None, "retain": None}
    result["after"] = dict(result["before"])
    assert result_sentence(result) == (
        "Training stopped after 1 step because the loss was no longer a number, "
        "but the forget set was empty: there was nothing to unlearn."
    )


def test_no_change_is_called_that():
    result = fake_results.result(stopped_because="max_steps")
    result["after"] = {**result["before"], "bystander": None, "retain": None}
    assert "forget EM stayed at 50.0 tokens" in result_sentence(result)
