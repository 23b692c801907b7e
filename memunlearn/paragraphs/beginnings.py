"""What stands in front of text: the tokens that a tokenizer puts there by habit, such as BOS."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from memunlearn.errors import UserError
from memunlearn.paragraphs.paragraph_set import ParagraphSet

Tokenizer = Callable[..., Any]
"""A transformers tokenizer: called with a list of texts, it answers a mapping with `input_ids`."""

Bos = bool | str
"""`paragraphs.bos`: auto is the tokenizer's habit, true its BOS token whatever its habit, false nothing."""

_PROBES = ("a", "the", "x y")


@dataclass(frozen=True)
class Beginning:
    """ids: the tokens in front of every text, mostly none or one. name: those tokens as text. why: one line that says so."""

    ids: tuple[int, ...]
    name: str
    why: str


def beginning_of(tokenizer: Tokenizer, bos: Bos) -> Beginning:
    """What this tokenizer puts in front of text, if it is asked.

    Raises UserError for another setting than auto, true, false, and for true where the tokenizer has no BOS token.
    """
    if bos not in (True, False, "auto") or isinstance(bos, int) and not isinstance(bos, bool):
        raise UserError(f"paragraphs.bos={bos} is not known: use auto (what the tokenizer does by itself), true or false")
    if bos is False:
        return Beginning((), "", "text is tokenized without BOS (paragraphs.bos=false)")
    habit = _habit(tokenizer)
    if bos == "auto" and not habit:
        return Beginning((), "", "text is tokenized without BOS, as the tokenizer does")
    if not habit:
        own = getattr(tokenizer, "bos_token_id", None)
        if own is None:
            raise UserError("paragraphs.bos=true, but the tokenizer has no BOS token: leave it at auto, or set model.tokenizer")
        habit = (int(own),)
    name = _name(tokenizer, habit)
    because = "as the tokenizer does" if bos == "auto" else "paragraphs.bos=true"
    return Beginning(
        habit, name, f"text is tokenized with BOS {name} in front ({because}); it counts as the first token of the prefix"
    )


def _habit(tokenizer: Tokenizer) -> tuple[int, ...]:
    for probe in _PROBES:
        plain, full = (
            list(tokenizer([probe], add_special_tokens=special, verbose=False)["input_ids"][0]) for special in (False, True)
        )
        for start in range(len(full) - len(plain) + 1):
            if plain and full[start : start + len(plain)] == plain:
                return tuple(int(token) for token in full[:start])
    raise UserError("what the tokenizer puts in front of text cannot be told: set paragraphs.bos to true or false")


def _name(tokenizer: Tokenizer, ids: tuple[int, ...]) -> str:
    name = getattr(tokenizer, "convert_ids_to_tokens", None)
    return "".join(name(list(ids))) if name is not None else " ".join(str(token) for token in ids)


def recognize(paragraphs: ParagraphSet, beginning: Beginning, where: str) -> ParagraphSet:
    """The same rows, knowing that they begin with these tokens if all of them do; says on stderr how they begin.

    The ids themselves are the user's and stay as they are.
    """
    count = len(beginning.ids)
    if not count or not len(paragraphs) or paragraphs.text_start:
        return paragraphs
    begins = (paragraphs.ids[:, :count] == paragraphs.ids.new_tensor(beginning.ids)).all(1)
    if bool(begins.all()):
        return replace(paragraphs, text_start=count)
    print(
        f"{where}: {int((~begins).sum())} of {len(begins)} rows of ids do not begin with BOS {beginning.name}, which the "
        "tokenizer puts in front of text: they are taken as they are",
        file=sys.stderr,
    )
    return paragraphs
