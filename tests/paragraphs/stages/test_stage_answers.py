"""Questions as prefixes, answers as continuations."""

import pytest
from tiny_tokenizers import byte_level, unigram, words

from memunlearn.errors import UserError
from memunlearn.paragraphs.stages.answers import answers, parts_of

TEMPLATE = "Question: {question}\nAnswer: {answer}"


def asked(pairs, prefix=6, continuation=4, tokenizer=None, template=TEMPLATE, bos="auto"):
    named = [(f"qa:{number}", *pair) for number, pair in enumerate(pairs)]
    return answers(named, template, prefix, continuation, tokenizer=tokenizer or byte_level(), bos=bos, where="qa")


@pytest.mark.parametrize("make", [byte_level, unigram])
def test_the_continuation_is_the_answer(make):
    tokenizer = make()
    pairs = [(words(n, 8), words(50 + n, 9)) for n in range(5)]
    made = asked(pairs, tokenizer=tokenizer).paragraphs
    assert made.prefix_length == 6 and made.ids.shape == (5, 10)
    for ids, (question, answer) in zip(made.ids.tolist(), pairs, strict=True):
        whole = tokenizer(f"Question: {question}\nAnswer: {answer}", add_special_tokens=False)["input_ids"]
        behind = tokenizer(f"Question: {question}\nAnswer:", add_special_tokens=False)["input_ids"]
        assert whole[: len(behind)] == behind
        assert ids == whole[len(behind) - 6 : len(behind) + 4]
        assert tokenizer.decode(ids[6:]).strip() == tokenizer.decode(whole[len(behind) : len(behind) + 4]).strip()


def test_what_stands_in_front_of_text_is_the_first_of_the_prefix():
    tokenizer = byte_level(beginning=("<|bos|>",), bos="<|bos|>")
    made = asked([(words(1, 30), words(2, 9))], tokenizer=tokenizer).paragraphs
    plain = asked([(words(1, 30), words(2, 9))], tokenizer=tokenizer, bos=False).paragraphs
    assert made.text_start == 1 and made.ids[0, 0] == tokenizer.bos_token_id
    assert made.ids[0, 1:].tolist() == plain.ids[0, 1:].tolist() and plain.text_start == 0


def test_pairs_that_are_too_short_are_counted_and_said(capsys):
    made = asked([(words(1, 8), words(2, 9)), (words(3, 8), "x"), (words(4, 8), words(5, 9))])
    assert made.dropped == 1 and made.paragraphs.origin == ("qa:0", "qa:2")
    assert "qa: 1 texts dropped: fewer than 6 tokens before the answer, or fewer than 4 in it" in capsys.readouterr().err
    with pytest.raises(UserError, match="qa: all of its 1 texts are too short"):
        asked([("a", "b")], prefix=40)
    with pytest.raises(UserError, match="model.tokenizer"):
        answers([("qa:0", "a", "b")], TEMPLATE, 1, 1, tokenizer=None, bos="auto", where="qa")


def test_a_question_may_hold_what_the_template_holds():
    tokenizer = byte_level()
    made = asked([("what is {answer} " + words(1, 9), words(2, 9))], tokenizer=tokenizer).paragraphs
    assert made.ids[0, 6:].tolist() == tokenizer(" " + words(2, 9))["input_ids"][:4]


def test_where_tokens_reach_over_the_join_the_answer_begins_with_the_first_other_token():
    tokenizer = byte_level()
    made = asked([(words(1, 9), words(2, 9))], tokenizer=tokenizer, template="{question} th{answer}").paragraphs
    text = f"{words(1, 9)} th{words(2, 9)}"
    joint, alone = tokenizer(text)["input_ids"], tokenizer(f"{words(1, 9)} th")["input_ids"]
    start = (
        next(place for place in range(len(alone)) if alone[: place + 1] != joint[: place + 1])
        if joint[: len(alone)] != alone
        else len(alone)
    )
    assert made.ids[0].tolist() == joint[start - 6 : start + 4]


def test_a_new_line_may_be_typed():
    assert parts_of("Q: {question}\\nA: {answer}\\n.") == ("Q: ", "\nA: ", "\n.")


@pytest.mark.parametrize("template", ["{answer} {question}", "{question}", "{question}{answer}{answer}", ""])
def test_a_template_puts_the_answer_behind_the_question(template):
    with pytest.raises(UserError, match="paragraphs.template.*each once"):
        parts_of(template)
