"""Does the text come back where the model is trained a little, on text that an attacker has?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from memunlearn.attacks.attempt import Attempt, Settings, attempt_with
from memunlearn.attacks.material import Subject, Target
from memunlearn.attacks.setting_checks import check_list, is_count, is_rate
from memunlearn.errors import UserError
from memunlearn.localization.forgetting import taught
from memunlearn.paragraphs.clusters import SHINGLE, halves, repeats
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.progress import track
from memunlearn.words import counted

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HALF, PREFIXES, UNRELATED = KINDS = ("half", "prefixes", "unrelated")


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What is trained on, and what it is to bring back.

    rows: trained on, the loss on the tokens after rows.prefix_length. measured: numbers of forget rows. attacked: those that
    are trained on and must come back for the attempt to count; None where there are none.
    """

    on: str
    rows: ParagraphSet
    measured: Tensor
    attacked: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Relearning:
    """A few steps of training, after which forget rows are measured that were not trained on.
    On `half`: whole paragraphs of half of the forget clusters (drawn with the seed), loss on the continuation; measured on the
    other half, of which no near-duplicate was trained on. It counts only where the half that was trained on came back itself
    (mean EM at least `came_back` x C): else the attack was too weak to say anything. On `prefixes`: the prefixes of all forget
    rows, loss on the prefix tokens, measured on the rows whose continuation stands in no prefix; on `unrelated`: non-memorized
    rows, loss on the continuation, measured on all forget rows. AdamW in fp32 on the eligible weights, no warm-up, dropout off,
    batches in seeded order, every learning rate a training of its own, read at each number of steps along it. The worst over
    all of them is what counts: an attacker chooses.

    The same rows and order for every model; the oracle shows what training teaches a model that never saw the text.
    Protocols of this kind: Lynch et al. 2024, arXiv 2402.16835; Hu et al. 2024, arXiv 2406.13356.

    trained_on: out of half, prefixes, unrelated. splits: halves that are tried, of seed, seed + 1, ..., each a training of its
    own; their measured rows are one attempt's, a row counting each time that it is in the other half. steps: optimizer steps.
    learning_rates: of AdamW. batch_rows: rows a step.
    came_back: share of C.
    """

    trained_on: Sequence[str] = KINDS
    splits: int = 1
    steps: Sequence[int] = (5, 10, 30, 100)
    learning_rates: Sequence[float] = (2e-5, 2e-4, 1e-3)
    batch_rows: int = 16
    weight_decay: float = 0.01
    came_back: float = 0.8
    name: ClassVar[str] = "relearning"

    def __post_init__(self) -> None:
        for name, fits, wanted in (
            ("trained_on", KINDS.__contains__, f"words out of {', '.join(KINDS)}"),
            ("steps", is_count, "numbers of steps, 1 or more, such as [10, 30]"),
            ("learning_rates", is_rate, "rates above 0, such as [2e-5]"),
        ):
            check_list(f"relearning.{name}", getattr(self, name), fits, wanted)
        if self.splits < 1:
            raise UserError(f"attacks.relearning.splits={self.splits} must be 1 or more")
        if self.batch_rows < 1 or not 0 <= self.came_back <= 1:
            raise UserError("attacks.relearning needs batch_rows of 1 or more and came_back from 0 to 1")

    def __call__(self, subject: Subject, target: Target) -> list[Attempt]:
        trainings = [(lesson, rate) for lesson in self._lessons(target) for rate in self.learning_rates]
        alike: dict[tuple[object, ...], list[Attempt]] = {}
        for lesson, rate in track(trainings, f"{self.name}, {subject.name}"):
            for attempt in self._attempts(subject, target, lesson, rate):
                alike.setdefault(tuple(attempt.settings.items()), []).append(attempt)
        return [self._pooled(attempts, target) for attempts in alike.values()]

    def _lessons(self, target: Target) -> list[Lesson]:
        everything = torch.arange(len(target.forget))
        lessons = []
        for on in self.trained_on:
            if on == HALF and len(target.clusters.unique()) > 1:
                for split in range(self.splits):
                    attacked, other = halves(target.clusters, target.seed + split)
                    lessons.append(Lesson(on=on, rows=target.forget.select(attacked), measured=other, attacked=attacked))
            elif on == PREFIXES and (rows := prefixes_as_text(target.forget)) is not None:
                held = held_by_prefixes(target.forget)
                if held.any():
                    left = counted(int(held.sum()), "row")
                    print(f"{self.name}: {left} not measured, since the text is taught as a prefix", flush=True)
                if not held.all():
                    lessons.append(Lesson(on=on, rows=rows, measured=everything[~held]))
            elif on == UNRELATED and len(target.others):
                lessons.append(Lesson(on=on, rows=target.others, measured=everything))
            else:
                print(f"{self.name}: nothing to train on for on={on} among these rows, it is left out", flush=True)
        return lessons

    def _attempts(self, subject: Subject, target: Target, lesson: Lesson, rate: float) -> Iterator[Attempt]:
        for steps, model in self._trained(subject, target, lesson, rate):
            settings: Settings = {"on": lesson.on, "lr": rate, "steps": steps}
            if lesson.attacked is None:
                yield attempt_with(model, target, settings, rows=lesson.measured)
                continue
            em = attempt_with(model, target, settings, rows=lesson.attacked).mean_em
            yield attempt_with(model, target, settings, rows=lesson.measured, extra={"attacked_em": em})

    def _pooled(self, attempts: Sequence[Attempt], target: Target) -> Attempt:
        """Those of the same settings, one a split."""
        first = attempts[0]
        if "attacked_em" not in first.extra:
            return first
        em = sum(attempt.extra["attacked_em"] for attempt in attempts) / len(attempts)
        counts = em >= self.came_back * target.forget.continuation_length
        return Attempt(
            settings=first.settings,
            rows=torch.cat([attempt.rows for attempt in attempts]),
            em=torch.cat([attempt.em for attempt in attempts]),
            longest_run=torch.cat([attempt.longest_run for attempt in attempts]),
            nll=torch.cat([attempt.nll for attempt in attempts]),
            counts=counts,
            note="" if counts else f"the half that was trained on did not come back itself (EM {em:.1f})",
            extra={"attacked_em": em},
        )

    def _trained(self, subject: Subject, target: Target, lesson: Lesson, rate: float) -> Iterator[tuple[int, PreTrainedModel]]:
        """The model after each number of steps; it goes on from there when the next is asked for."""
        course = taught(
            subject.model,
            [weight.name for weight in target.weights],
            lesson.rows,
            batches(len(lesson.rows), self.batch_rows, max(self.steps), target.seed),
            learning_rate=rate,
            weight_decay=self.weight_decay,
        )
        return ((step, model) for step, model in enumerate(course) if step in self.steps)


def prefixes_as_text(rows: ParagraphSet) -> ParagraphSet | None:
    """The prefixes alone, to be predicted from their first token on, without short ones; None where none is left, or a prefix
    has a single token."""
    given, whole = max(rows.text_start, 1), rows.select(~rows.short)
    if given >= rows.prefix_length or not len(whole):
        return None
    return ParagraphSet(whole.prefixes, given, whole.origin, whole.text_start)


def held_by_prefixes(rows: ParagraphSet) -> Tensor:
    """[N] bool: rows whose continuation shares SHINGLE tokens in a row with the prefix of some row, as overlapping windows of a
    text do."""
    prefixes = rows.prefixes[:, rows.text_start :]
    width = min(SHINGLE, rows.continuation_length, prefixes.shape[1])
    said, given = (part.unfold(1, width, 1) for part in (rows.continuations, prefixes))
    return repeats(said.flatten(0, 1), given.flatten(0, 1), width).view(len(rows), -1).any(1)


def batches(rows: int, size: int, steps: int, seed: int) -> list[Tensor]:
    """Row numbers of every step: at most `size`, each row once before any is drawn again, in an order of the seed."""
    generator = torch.Generator().manual_seed(seed)
    parts: list[Tensor] = []
    while len(parts) < steps:
        parts += torch.randperm(rows, generator=generator).split(size)
    return parts[:steps]
