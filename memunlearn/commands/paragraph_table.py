"""The rows of `paragraphs.parquet`: scores of every paragraph, and texts where they were decoded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.paragraphs.paragraph_set import FILL
from memunlearn.paragraphs.places import place_columns
from memunlearn.scoring.alternatives import Alternatives
from memunlearn.scoring.metric import FromText, Metric, OfAlternatives
from memunlearn.scoring.metrics import METRICS
from memunlearn.unlearning.outcome import AlternativeOutcome, SetOutcome

PREFIX_END = 20  # tokens of the prefix that are shown where there is little room


def paragraph_rows(
    name: str,
    outcome: SetOutcome,
    tokenizer: Any | None,
    *,
    alternatives: Alternatives | None,
    edited: AlternativeOutcome | None,
    holds_forgotten: Tensor | None,
) -> list[dict[str, Any]]:
    """One dict a row of the set; texts (as ids where there is no tokenizer) and what is measured of them for the rows that were
    decoded, else null.

    edited: the alternatives after an edit, whose numbers stand with the forget rows that have one. holds_forgotten: [n] bool of
    near rows (`near_rows`), None for those of other sets.
    """
    measured = _columns(outcome, edited if name == "forget" else None)
    rows = []
    for i in range(len(outcome.index)):
        rows.append(
            {
                "set": name,
                "index": int(outcome.index[i]),
                "trial": None if outcome.trial is None else int(outcome.trial[i]),
                "origin": outcome.paragraphs.origin[i],
                **place_columns(outcome.paragraphs.place(i)),
                "cluster": int(outcome.after.clusters[i]),
                "holds_forgotten": None if holds_forgotten is None else bool(holds_forgotten[i]),
                **{column: None if values is None else values[i] for column, values in measured.items()},
                "prefix": None,
                "prefix_end": None,
                "continuation": None,
                "continuation_before": None,
                "continuation_after": None,
                "alternative": None,
                "token_texts": None,
                "token_nll_before": outcome.before.scores.token_nll[i].tolist(),
                "token_nll_after": outcome.after.scores.token_nll[i].tolist(),
            }
        )
    if outcome.said is None:
        return rows
    for k, i in enumerate(outcome.said.rows.tolist()):
        prefix, continuation = outcome.paragraphs.prefixes[i], outcome.paragraphs.continuations[i]
        rows[i] |= {
            "prefix": text_of(prefix, tokenizer),
            "prefix_end": text_of(prefix[-PREFIX_END:], tokenizer),
            "continuation": text_of(continuation, tokenizer),
            "continuation_before": text_of(outcome.said.before[k], tokenizer),
            "continuation_after": text_of(outcome.said.after[k], tokenizer),
            "token_texts": token_texts(continuation, tokenizer),
        }
        index = rows[i]["index"]
        if name == "forget" and alternatives is not None and bool(alternatives.found[index]):
            rows[i]["alternative"] = text_of(alternatives.paragraphs.continuations[index], tokenizer)
    return rows


def _columns(outcome: SetOutcome, edited: AlternativeOutcome | None) -> dict[str, list[Any] | None]:
    """The columns of every metric of rows; None where it was not measured at all."""
    return {
        column: values
        for metric in METRICS
        for column, values in zip(metric.columns, _values(metric, outcome, edited), strict=False)
    }


def _values(metric: Metric, outcome: SetOutcome, edited: AlternativeOutcome | None) -> tuple[list[Any] | None, ...]:
    """In step with the metric's columns."""
    said, n = outcome.said, len(outcome.index)
    if isinstance(metric.source, FromText):
        if said is None:
            return None, None
        return tuple(_spread(values[metric.key], said.rows, n) for values in (said.values_before, said.values_after))
    if isinstance(metric.source, OfAlternatives):
        return (None if edited is None else _spread(edited.after.values[metric.source.of.key], edited.rows, n),)
    moments = (outcome.before, outcome.after)[-len(metric.columns) :]
    return tuple(moment.column(metric) for moment in moments)


def _spread(values: Tensor, rows: Tensor, n: int) -> list[Any]:
    """[n], the values at these rows, None at the others."""
    of_row = dict(zip(rows.tolist(), values.tolist(), strict=True))
    return [of_row.get(i) for i in range(n)]


def check_decodes(tokenizer: Any | None, vocabulary: int) -> None:
    """Raises UserError if the tokenizer cannot decode a token that the model may say, which else came out at a run's end."""
    if tokenizer is None:
        return
    try:
        token_texts(torch.arange(min(vocabulary, 3)), tokenizer)
        text_of(torch.arange(vocabulary), tokenizer)
    except Exception as error:  # tokenizers of other people's code raise anything
        raise UserError(
            f"the tokenizer cannot decode the {vocabulary} tokens that the model may say ({type(error).__name__}: {error}): "
            "is it the model's own? Set model.tokenizer to the one that it was trained with"
        ) from error


def text_of(ids: Tensor, tokenizer: Any | None) -> str:
    """The tokens as text, or as numbers where there is no tokenizer; FILL and the padding of a vocabulary are nothing."""
    tokens = ids[ids != FILL].tolist()
    if tokenizer is None:
        return " ".join(map(str, tokens))
    try:
        text: str = tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
    except (
        IndexError,
        KeyError,
        OverflowError,
        TypeError,
    ):  # of an id that it does not know: not every tokenizer passes over it
        known = set(tokenizer.get_vocab().values())
        text = tokenizer.decode([token for token in tokens if token in known], clean_up_tokenization_spaces=False)
    return text


def token_texts(ids: Tensor, tokenizer: Any | None) -> list[str]:
    """The text cut into a piece for each token; the pieces joined are `text_of` (without a tokenizer: each id, as a string).

    A character that several tokens make up stands in the last of them, the others are empty.
    """
    if tokenizer is None:
        return [str(int(token)) for token in ids]
    whole, pieces, done = text_of(ids, tokenizer), [], 0
    for count in range(1, len(ids)):
        so_far = text_of(ids[:count], tokenizer)
        # Half a character decodes to something that is no beginning of the whole text.
        end = len(so_far) if len(so_far) > done and whole.startswith(so_far) else done
        pieces.append(whole[done:end])
        done = end
    return [*pieces, whole[done:]]
