import fake_results
import pytest

from memunlearn.results.sentence import result_sentence, side_effect


def test_the_sentence_says_what_happened():
    assert result_sentence(fake_results.result()) == (
        "Training stopped after 37 steps because the forget set had reached its target. Other memorized text: bystander EM "
        "50.0 -> 48.8 tokens. Over 64 rows in 61 clusters, forget EM fell from 50.0 to 3.1 tokens (95 % interval 2.8 to 3.6), "
        "its longest run fell from 50.0 to 8.4 tokens, its longest common run with what the model says fell from 50.0 to 5.6 "
        "tokens, and retain KL is 0.0121 nats per token."
    )


def test_what_other_memorized_text_lost_comes_before_what_was_reached():
    result = fake_results.result()
    result["after"] = {**result["after"], "bystander": {**result["after"]["bystander"], "em": 12.8}}
    result["before"] = {**result["before"], "near": fake_results.set_stats(3, 2, 50.0, 0.1, 0.0)}
    result["after"]["near"] = fake_results.set_stats(3, 2, 30.25, 0.9, 0.5)
    sentence = result_sentence(result)
    lost = "Other memorized text: bystander EM 50.0 -> 12.8 tokens, near EM 50.0 -> 30.2 tokens."
    assert lost in sentence and sentence.index(lost) < sentence.index("forget EM")
    assert side_effect(result) in lost


def test_near_rows_that_hold_forgotten_text_are_told_from_those_that_do_not():
    result = fake_results.result()
    numbers = {"near": (30.25, 5), "near_forgotten": (2.5, 2), "near_other": (48.75, 3)}
    before = {name: fake_results.set_stats(n, 2, 50.0, 0.1, 0.0) for name, (_, n) in numbers.items()}
    after = {name: fake_results.set_stats(n, 2, em, 0.9, 0.5) for name, (em, n) in numbers.items()}
    result["before"], result["after"] = {**result["before"], **before}, {**result["after"], **after}
    assert side_effect(result) == (
        "bystander EM 50.0 -> 48.8 tokens, near EM 50.0 -> 30.2 tokens (2 rows holding forgotten text: 50.0 -> 2.5; 3 rows not "
        "holding it: 50.0 -> 48.8)"
    )
    result["before"]["near_forgotten"] = result["after"]["near_forgotten"] = None
    assert side_effect(result).endswith("near EM 50.0 -> 30.2 tokens (3 rows not holding it: 50.0 -> 48.8)")


def test_without_bystanders_nothing_is_claimed_of_them():
    result = fake_results.result()
    result["before"] = {**result["before"], "bystander": None}
    result["after"] = {**result["after"], "bystander": None}
    assert "Other memorized text: not measured, there are no bystanders." in result_sentence(result)


def test_suspected_rows_are_told_beside_bystanders_or_in_their_place_and_never_as_such():
    result = fake_results.result()
    result["before"] = {**result["before"], "bystander": None, "suspected": fake_results.set_stats(3, 2, 50.0, 0.1, 0.0)}
    result["after"] = {**result["after"], "bystander": None, "suspected": fake_results.set_stats(3, 2, 41.25, 0.4, 0.2)}
    said = "suspected EM 50.0 -> 41.2 tokens (memorized by all appearance, not verified)"
    assert side_effect(result) == said and f"Other memorized text: {said}." in result_sentence(result)


def test_a_run_that_was_stopped_for_its_bystanders_says_so_and_which_state_was_kept():
    sentence = result_sentence(fake_results.result(steps=40, stopped_because="bystander_em", kept_step=25))
    assert sentence.startswith(
        "Training stopped after 40 steps because bystander EM had fallen below its limit; the best check, after step 25, was "
        "kept. Other memorized text: bystander EM 50.0 -> 48.8 tokens."
    )


def test_what_was_done_stands_first_and_alone_where_no_rule_ended_it():
    done = "786 chosen weights were set to 0, and nothing was trained"
    sentence = result_sentence(fake_results.result(steps=0, stopped_because="max_steps", done=done))
    assert sentence.startswith(f"{done}. Other memorized text: ")
    factors = "Factors of rank 4 were trained"
    sentence = result_sentence(fake_results.result(steps=40, kept_step=25, done=factors))
    assert sentence.startswith(
        f"{factors}. Training stopped after 40 steps because the forget set had reached its target; the best check, after step "
        "25, was kept. Other memorized text: "
    )
    sentence = result_sentence(fake_results.result(steps=9, kept_step=8, stopped_because="nan", done=done))
    assert sentence.startswith(
        f"{done}. Training stopped after 9 steps because the loss was no longer a number; the best check"
    )


def test_where_no_check_was_kept_it_says_so():
    sentence = result_sentence(fake_results.result(steps=1, stopped_because="max_kl", kept_step=0))
    assert sentence.startswith(
        "Training stopped after 1 step because the KL limit was reached, and no check was better than the base model, which "
        "was kept. Other memorized text: "
    )


def test_edits_name_the_alternative():
    sentence = result_sentence(fake_results.result(edit=True))
    assert "the alternative is recited for 44.2 tokens (before: 1.2)" in sentence


@pytest.mark.parametrize(
    "protocol", ["per_paragraph", {"name": "per_paragraph"}, {"_target_": "memunlearn.unlearning.per_paragraph.run"}]
)
def test_trials_are_said_to_be_pooled(protocol):
    sentence = result_sentence(fake_results.result(config={"protocol": protocol}))
    assert sentence.startswith("One paragraph at a time, with the model restored between trials. Other memorized text: ")


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
