"""Questions as prefixes, answers as continuations."""

import pytest
from tiny_tokenizers import byte_level, unigram, words

from memunlearn.errors import UserError
from memunlearn.paragraphs.paragraph_set import FILL
from memunlearn.paragraphs.stages.answers import Pair, parts_of, rows_of_answers

TEMPLATE = "Question: {question}\nAnswer: {answer}"


def asked(pairs, prefix=6, continuation=4, tokenizer=None, template=TEMPLATE, bos="auto"):
    named = [Pair(f"qa:{number}", *pair) for number, pair in enumerate(pairs)]
    return rows_of_answers(
        named,
        template,
        "forget",
        prefix,
        continuation_length=continuation,
        tokenizer=tokenizer or byte_level(),
        bos=bos,
        where="qa",
    )


@pytest.mark.parametrize("make", [byte_level, unigram])
@pytest.mark.parametrize("prefix", [6, 300])
def test_the_prefix_ends_and_the_continuation_begins_with_the_answer(make, prefix):
    """Of a longer prompt the end, of a shorter one all of it."""
    tokenizer = make()
    pairs = [(words(n, 8 + n), words(50 + n, 9)) for n in range(5)]
    made = asked(pairs, prefix, tokenizer=tokenizer).paragraphs
    assert made.prefix_length == prefix and made.ids.shape == (5, prefix + 4)
    for ids, place, (question, answer) in zip(made.ids.tolist(), made.places, pairs, strict=True):
        whole = tokenizer(f"Question: {question}\nAnswer: {answer}", add_special_tokens=False)["input_ids"]
        behind = tokenizer(f"Question: {question}\nAnswer:", add_special_tokens=False)["input_ids"]
        assert whole[: len(behind)] == behind and place.start == len(behind)
        assert ids == [FILL] * (prefix - len(behind)) + whole[max(0, len(behind) - prefix) : len(behind) + 4]
        assert f"Question: {question}\nAnswer: {answer}"[place.first_character :].strip() == answer


def test_what_stands_in_front_of_text_is_the_first_of_the_prefix():
    tokenizer = byte_level(beginning=("<|bos|>",), bos="<|bos|>")
    for prefix in (6, 300):
        plain = asked([(words(1, 30), words(2, 9))], prefix - 1, tokenizer=tokenizer, bos=False).paragraphs
        for template in (TEMPLATE, "<|bos|>" + TEMPLATE):  # a text that has it already gets no second one
            made = asked([(words(1, 30), words(2, 9))], prefix, tokenizer=tokenizer, template=template).paragraphs
            assert made.text_start == 1 and made.ids[0, 0] == tokenizer.bos_token_id
            assert made.ids[0, 1:].tolist() == plain.ids[0].tolist() and plain.text_start == 0


def test_answers_that_are_too_short_are_said_by_name(capsys):
    made = asked([(words(1, 8), words(2, 9)), (words(3, 8), "x"), (words(4, 8), words(5, 9))])
    assert made.dropped == 1 and made.paragraphs.origin == ("qa:0", "qa:2")
    assert "qa, answers: 1 of 3 texts dropped: fewer than 4 tokens: qa:1" in capsys.readouterr().err
    with pytest.raises(UserError, match="qa, answers: none of its 1 rows has 4 tokens"):
        asked([("a", "b")])
    with pytest.raises(UserError, match="model.tokenizer"):
        rows_of_answers(
            [Pair("qa:0", "a", "b")], TEMPLATE, "forget", 1, continuation_length=1, tokenizer=None, bos="auto", where="qa"
        )


def test_a_question_may_hold_what_the_template_holds():
    tokenizer = byte_level()
    made = asked([("what is {answer} " + words(1, 9), words(2, 9))], tokenizer=tokenizer).paragraphs
    assert made.ids[0, 6:].tolist() == tokenizer(" " + words(2, 9))["input_ids"][:4]


def test_where_tokens_reach_over_the_join_the_answer_begins_with_the_first_other_token():
    tokenizer = byte_level()
    question, answer = words(1, 9), "e " + words(2, 9)
    made = asked([(question, answer)], tokenizer=tokenizer, template="{question} th{answer}").paragraphs
    joint, alone = (tokenizer(text)["input_ids"] for text in (f"{question} th{answer}", f"{question} th"))
    start = next(place for place in range(len(joint)) if joint[: place + 1] != alone[: place + 1])
    assert start < len(alone) and made.ids[0].tolist() == joint[start - 6 : start + 4]


def test_a_new_line_may_be_typed():
    assert parts_of("Q: {question}\\nA: {answer}\\n.") == ("Q: ", "\nA: ", "\n.")


@pytest.mark.parametrize("template", ["{answer} {question}", "{question}", "{question}{answer}{answer}", ""])
def test_a_template_puts_the_answer_behind_the_question(template):
    with pytest.raises(UserError, match="paragraphs.template.*each once"):
        parts_of(template)
