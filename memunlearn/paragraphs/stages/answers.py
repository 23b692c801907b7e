"""From questions and answers to paragraphs: the question is the prefix, the answer the continuation."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from memunlearn.errors import UserError
from memunlearn.paragraphs.beginnings import Bos, Tokenizer
from memunlearn.paragraphs.first_tokens import first_tokens
from memunlearn.paragraphs.stages.rows import StageRows, batches, how_text_begins, made, without_beginning

QUESTION, ANSWER = "{question}", "{answer}"


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


def answers(
    pairs: Iterable[tuple[str, ...]],
    template: str,
    prefix_length: int,
    continuation_length: int,
    *,
    tokenizer: Tokenizer | None,
    bos: Bos,
    where: str,
) -> StageRows:
    """Rows of (origin, question, answer): the last P tokens before the answer, and its first C.

    What stands in front of text (BOS) counts as the first of the P; of a longer prompt the tokens behind it are left out.
    Pairs with fewer tokens before or in the answer are dropped, and said on stderr.
    Raises UserError without a tokenizer, and where no pair is long enough.
    """
    tokenizer, beginning = how_text_begins(tokenizer, bos, where)
    given = prefix_length - len(beginning.ids)
    head, middle, tail = parts_of(template)
    rows, origins = [], []
    dropped = 0
    for batch in batches(pairs):
        named = [origin for origin, _, _ in batch]
        prompts = [f"{head}{question}{middle.rstrip()}" for _, question, _ in batch]
        texts = [f"{head}{question}{middle}{answer}{tail}" for _, question, answer in batch]
        of_prompts = first_tokens(prompts, sys.maxsize, tokenizer, named)
        of_texts = first_tokens(texts, sys.maxsize, tokenizer, named)
        for origin, (prompt, _), (text, _) in zip(named, of_prompts, of_texts, strict=True):
            # A tokenizer may join the prompt's last character with the answer's first: the answer begins where they differ.
            start = _shared(prompt, text)
            before, said = without_beginning(text[:start], beginning), text[start : start + continuation_length]
            if len(before) < given or len(said) < continuation_length:
                dropped += 1
                continue
            rows.append([*beginning.ids, *before[len(before) - given :], *said])
            origins.append(origin)
    why = f"fewer than {given} tokens before the answer, or fewer than {continuation_length} in it"
    return made(rows, origins, prefix_length, beginning, where=where, dropped=dropped, why=why)


def _shared(first: list[int], second: list[int]) -> int:
    """How many tokens the two begin with alike."""
    alike = [one == other for one, other in zip(first, second, strict=False)]
    return alike.index(False) if False in alike else len(alike)
