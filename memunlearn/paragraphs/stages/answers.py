"""Questions and answers as paragraphs: the question is the prefix, the answer the continuation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memunlearn.errors import UserError
from memunlearn.paragraphs.beginnings import Bos, Tokenizer
from memunlearn.paragraphs.first_tokens import first_tokens
from memunlearn.paragraphs.readers import ReadResult, keep_long_enough
from memunlearn.paragraphs.stages.long_texts import with_beginning
from memunlearn.paragraphs.text_rows import rows_of_sets, token_texts
from memunlearn.paragraphs.texts import Text
from memunlearn.progress import track

QUESTION, ANSWER = "{question}", "{answer}"


@dataclass(frozen=True)
class Pair:
    """A question and its answer; name: unlike any other of its set."""

    name: str
    question: str
    answer: str


def parts_of(template: str) -> tuple[str, str, str]:
    """What stands before the question, between it and the answer, and behind that; `\\n`, as it is typed, is a new line.

    Raises UserError for a template that does not put the answer behind the question.
    """
    template = template.replace("\\n", "\n")
    if template.count(QUESTION) != 1 or template.count(ANSWER) != 1 or template.index(QUESTION) > template.index(ANSWER):
        raise UserError(
            f"paragraphs.template={template!r} must hold {QUESTION} and, behind it, {ANSWER}, each once: "
            f"such as 'Question: {QUESTION}\\nAnswer: {ANSWER}'"
        )
    head, _, rest = template.partition(QUESTION)
    middle, _, tail = rest.partition(ANSWER)
    return head, middle, tail


def rows_of_answers(
    pairs: Sequence[Pair],
    template: str,
    source: str,
    prefix_length: int,
    *,
    continuation_length: int,
    tokenizer: Tokenizer | None,
    bos: Bos,
    where: str,
) -> ReadResult:
    """A row a pair: what stands before the answer, and its first C tokens.

    Of a longer prompt than P its last tokens are taken, a shorter one leaves the prefix short; what stands in front of text
    (BOS) is the first of the P either way. Pairs with a shorter answer are dropped, and said on stderr. source: which set.
    Raises UserError without a tokenizer, and where no row is left.
    """
    known, beginning = with_beginning(tokenizer, bos, where)
    before = beginning.ids
    head, middle, tail = parts_of(template)
    names = [pair.name for pair in pairs]
    prompts = first_tokens([f"{head}{pair.question}{middle.rstrip()}" for pair in pairs], None, known, names)
    texts = [Text(pair.name, f"{head}{pair.question}{middle}{pair.answer}{tail}", {}) for pair in pairs]
    sets, short = [], list[str]()
    tokens = token_texts(track(texts, f"reading {where}"), None, known, beginning, source)
    for prompt, (text, _) in zip(prompts, tokens, strict=True):
        # A tokenizer may join the prompt's last character with the answer's first: the answer begins where they differ.
        own = len(before) if before and tuple(prompt.ids[: len(before)]) == before else 0
        start = _shared(prompt.ids[own:], text.ids.tolist())
        if start < 1 or len(text) - start < continuation_length:
            short.append(text.name)
        else:
            sets.append(text.rows([start], prefix_length, continuation_length, before))
    length = prefix_length + continuation_length
    made = rows_of_sets(sets, length, len(before), needed=continuation_length, read=None, short=short)
    return keep_long_enough([made], prefix_length, f"{where}, answers", beginning)


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens the two begin with alike."""
    alike = [one == other for one, other in zip(first, second, strict=False)]
    return alike.index(False) if False in alike else len(alike)
