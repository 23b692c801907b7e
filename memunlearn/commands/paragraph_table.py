"""The rows of `paragraphs.parquet`: scores of every paragraph, and texts where they were decoded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.scoring.alternatives import Alternatives
from memunlearn.unlearning.outcome import AlternativeOutcome, SetOutcome

PREFIX_END = 20  # tokens of the prefix that are shown where there is little room


def paragraph_rows(
    name: str,
    outcome: SetOutcome,
    tokenizer: Any | None,
    alternatives: Alternatives | None,
    edited: AlternativeOutcome | None,
) -> list[dict[str, Any]]:
    """One dict a row of the set; texts (as ids where there is no tokenizer) and longest common runs for the rows that were
    decoded, else null.

    alternative_em: EM of the alternative after an edit, for forget rows that have one.
    """
    before, after = outcome.before.scores, outcome.after.scores
    rows = []
    for i in range(len(outcome.index)):
        rows.append(
            {
                "set": name,
                "index": int(outcome.index[i]),
                "trial": None if outcome.trial is None else int(outcome.trial[i]),
                "origin": outcome.paragraphs.origin[i],
                "cluster": int(outcome.after.clusters[i]),
                "em_before": int(before.em[i]),
                "em_after": int(after.em[i]),
                "longest_run_before": int(before.longest_run[i]),
                "longest_run_after": int(after.longest_run[i]),
                "longest_common_run_before": None,
                "longest_common_run_after": None,
                "nll_before": float(before.nll[i]),
                "nll_after": float(after.nll[i]),
                "kl": None if after.kl is None else float(after.kl[i]),
                "self_em": None if outcome.after.self_em is None else int(outcome.after.self_em[i]),
                "alternative_em": None,
                "prefix": None,
                "prefix_end": None,
                "continuation": None,
                "continuation_before": None,
                "continuation_after": None,
                "alternative": None,
                "token_texts": None,
                "token_nll_before": before.token_nll[i].tolist(),
                "token_nll_after": after.token_nll[i].tolist(),
            }
        )
    if name == "forget" and edited is not None:
        for k, i in enumerate(edited.rows.tolist()):
            rows[i]["alternative_em"] = int(edited.after.em[k])
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
            "longest_common_run_before": int(outcome.said.run_before[k]),
            "longest_common_run_after": int(outcome.said.run_after[k]),
        }
        index = rows[i]["index"]
        if name == "forget" and alternatives is not None and bool(alternatives.found[index]):
            rows[i]["alternative"] = text_of(alternatives.paragraphs.continuations[index], tokenizer)
    return rows


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
    """The tokens as text, or as numbers where there is no tokenizer."""
    if tokenizer is None:
        return " ".join(str(int(token)) for token in ids)
    return tokenizer.decode(ids.tolist(), clean_up_tokenization_spaces=False)


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
