"""Which parts of texts a model recites, wherever they begin: a screen over all tokens, then every window where it hit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import parametrize
from transformers import PreTrainedModel

from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.paragraphs.token_texts import TokenText, rows_of_texts
from memunlearn.paragraphs.windows import Windows
from memunlearn.progress import track
from memunlearn.recitation.screen import candidates, screened_hits
from memunlearn.recitation.spans import Span, recited_spans, spread
from memunlearn.scoring.sampling import Sampling
from memunlearn.scoring.score import ParagraphScores, score


@dataclass(frozen=True, kw_only=True)
class Search:
    """How recited spans are looked for.

    windows: how a text is cut where nothing else is known; with a stride of 1 every window is scored and nothing is screened
    out. before: tokens in front of every row (BOS). least: EM from which a continuation counts as recited, tokens.
    context: tokens that the model reads at once. batch_size: windows at once. sampling: of p_z; None: it is not measured.
    """

    windows: Windows
    before: tuple[int, ...]
    least: int
    context: int
    batch_size: int = 16
    sampling: Sampling | None = None

    @property
    def neighbourhood(self) -> int:
        """Tokens around a candidate that are looked at as well, and from one pass of a row's length to the next: C/5."""
        return max(1, self.windows.continuation_length // 5)


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What was found in one text.

    starts: [n], where the continuations of the windows begin that were scored, rising; none of a text that is too short.
    scores: theirs. spans: what is recited. screened: those starts that the screen alone would have had scored.
    """

    text: TokenText
    starts: tuple[int, ...]
    scores: ParagraphScores
    spans: tuple[Span, ...]
    screened: tuple[int, ...]

    @property
    def too_short(self) -> bool:
        return not self.starts

    def of_span(self, span: Span) -> ParagraphScores:
        """The scores of the recited windows of a span."""
        where = {start: number for number, start in enumerate(self.starts)}
        return self.scores.select(torch.tensor([where[start] for start in span.starts]))


def find_recited(
    model: PreTrainedModel,
    texts: Sequence[TokenText],
    how: Search,
    description: str,
    also: Sequence[Sequence[int]] | None = None,
) -> list[Reading]:
    """Scores windows of every text, and says which spans of it are recited, in the order of the texts.

    Which windows: those of `how.windows`; and at stride 1 wherever a screen (`screen.screened_hits`, in passes as long as a row
    and as long as the model reads) finds that most of a continuation would have been said. also: for each text further starts.
    """
    windows, chosen, screened = how.windows, list[list[int]](), list[list[int]]()
    with parametrize.cached():
        for text, further in zip(track(texts, f"screening {description}"), also or [()] * len(texts), strict=True):
            found = [] if windows.first_only else _screened(model, text, how)
            screened.append(found)
            chosen.append(sorted({*windows.starts(len(text), len(how.before)), *found, *further}))
    lengths = windows.prefix_length, windows.continuation_length
    rows = rows_of_texts(list(zip(texts, chosen, strict=True)), *lengths, how.before)
    scores = score(
        model,
        rows,
        how.batch_size,
        description=f"scoring windows of {description}",
        details=how.sampling is not None,
        sampling=how.sampling,
    )
    return readings_of(texts, chosen, screened, scores, how.least)


def readings_of(
    texts: Sequence[TokenText],
    starts: Sequence[Sequence[int]],
    screened: Sequence[Sequence[int]],
    scores: ParagraphScores,
    least: int,
) -> list[Reading]:
    """starts, screened: by text. scores: of all windows, one text after the other. least: EM from which one is recited."""
    readings, done = [], 0
    for text, chosen, of_screen in zip(texts, starts, screened, strict=True):
        of_text = scores.select(torch.arange(done, done + len(chosen)))
        spans = recited_spans(chosen, of_text.em.tolist(), least)
        readings.append(Reading(text=text, starts=tuple(chosen), scores=of_text, spans=tuple(spans), screened=tuple(of_screen)))
        done += len(chosen)
    return readings


def screen_recall(readings: Sequence[Reading], least: int) -> tuple[int, int]:
    """(how many of the recited windows the screen alone would have had scored, how many there are): what a search at stride 1
    tells of the screen."""
    found = whole = 0
    for reading in readings:
        recited = {start for start, em in zip(reading.starts, reading.scores.em.tolist(), strict=True) if em >= least}
        found += len(recited.intersection(reading.screened))
        whole += len(recited)
    return found, whole


def rows_to_forget(readings: Sequence[Reading], how: Search, step: int) -> ParagraphSet | None:
    """Recited windows of every span, at most `step` tokens from one to the next where there are such: None if nothing is
    recited."""
    chosen = [(reading.text, [start for span in reading.spans for start in spread(span.starts, step)]) for reading in readings]
    chosen = [(text, starts) for text, starts in chosen if starts]
    if not chosen:
        return None
    return rows_of_texts(chosen, how.windows.prefix_length, how.windows.continuation_length, how.before)


def _screened(model: PreTrainedModel, text: TokenText, how: Search) -> list[int]:
    windows = how.windows
    row = windows.prefix_length + windows.continuation_length
    hits: Tensor = torch.zeros(len(text), dtype=torch.bool)
    # A model may say nothing right beyond the length of the rows it was trained on, or only with all that there is before.
    for length, step in ((row, how.neighbourhood), (how.context, max(1, how.context // 2))):
        hits |= screened_hits(model, text.ids, how.before, length, step=step, batch_tokens=how.batch_size * row)
    return candidates(hits, windows.continuation_length, windows.min_prefix, how.neighbourhood)
