"""The order in which rows are trained on: drops none, reshuffles each epoch, can be resumed in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memunlearn.errors import UserError

Batch = dict[str, Tensor]


def protected_rows_a_batch(batch_size: int, share: float) -> int:
    """How many of a batch's rows to keep are protected. Raises UserError if all or none are."""
    count = round(share * batch_size)
    if not 0 < count < batch_size:
        raise UserError(
            f"paragraphs.protected_share={share}: {count} of the {batch_size} rows to keep of a batch would be protected, "
            "and at least one must be and one must not: set another share, or a larger batch_size"
        )
    return count


@dataclass(frozen=True, kw_only=True)
class PairedEpochs:
    """An epoch is one pass over the larger of two sets; the smaller is cycled and reshuffled each time it has been used up.

    A step takes accumulate * forget_batch rows of the one and accumulate * retain_batch rows of the other, and goes through
    the model in at most `accumulate` batches {"forget": [F], "retain": [R], "weights": [2]} of row numbers. The last step of
    the larger set may be smaller; every row of both sets is used in every epoch. weights: what the means over a batch's forget
    rows and over its rows to keep count in those over the step's; over the batches of a step each sums to 1.
    With protected rows every step keeps accumulate * protected_batch of them as well ("protected": [Q]), cycled and shuffled.
    processes: as many share every batch's rows out among them, and this is the plan of the one of this number, from 0. Over the
    batches of a step in all processes the weights sum to 1.
    """

    forget_rows: int
    retain_rows: int
    forget_batch: int
    retain_batch: int
    seed: int
    accumulate: int = 1
    protected_rows: int = 0
    protected_batch: int = 0
    processes: int = 1
    process: int = 0

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return max(_parts(self.forget_rows, self._forget_step), _parts(self.retain_rows, self._retain_step))

    def __len__(self) -> int:
        """Batches an epoch."""
        forget, retain = (
            rows - (self.steps - 1) * step if _parts(rows, step) == self.steps else step
            for rows, step in ((self.forget_rows, self._forget_step), (self.retain_rows, self._retain_step))
        )
        return (self.steps - 1) * self.accumulate + self._batches_of(forget, retain, self._protected_step)

    def epoch(self, number: int) -> list[Batch]:
        """The batches of one epoch: a pure function of the seed and the epoch's number."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        forget = self._stream(self.forget_rows, self._forget_step, generator)
        retain = self._stream(self.retain_rows, self._retain_step, generator)
        protected = self._stream(self.protected_rows, self._protected_step, generator, fill=True)
        return [batch for rows in zip(forget, retain, protected, strict=True) for batch in self._split(*rows)]

    @property
    def _forget_step(self) -> int:
        return self.accumulate * self.forget_batch

    @property
    def _retain_step(self) -> int:
        return self.accumulate * self.retain_batch

    @property
    def _protected_step(self) -> int:
        return self.accumulate * self.protected_batch

    def _batches_of(self, forget: int, retain: int, protected: int) -> int:
        counts = _parts(forget, self.forget_batch), _parts(retain, self.retain_batch)
        return max(*counts, _parts(protected, self.protected_batch) if protected else 0)

    def _stream(self, rows: int, step: int, generator: torch.Generator, fill: bool = False) -> list[Tensor]:
        """The rows of every step. fill: as many for the last as for the others, whatever the set's size."""
        if not step:
            return [torch.empty(0, dtype=torch.int64)] * self.steps
        passes = _parts(self.steps * step, rows)
        order = torch.cat([torch.randperm(rows, generator=generator) for _ in range(passes)])
        # The larger set is passed over exactly once; the smaller fills every step.
        once = _parts(rows, step) == self.steps and not fill
        return list((order[:rows] if once else order[: self.steps * step]).split(step))

    def _split(self, forget: Tensor, retain: Tensor, protected: Tensor) -> list[Batch]:
        """This process's part of one step's rows, in batches. One that would have no rows of a side gets one of them, with
        weight 0."""
        count = self.processes * self._batches_of(len(forget), len(retain), len(protected))
        parts = zip(*(rows.tensor_split(count) for rows in (forget, retain, protected)), strict=True)
        batches = []
        for f, r, p in list(parts)[self.process :: self.processes]:
            kept = (len(r) + len(p)) / (len(retain) + len(protected))
            batch = {
                "forget": f if len(f) else forget[:1],
                "retain": r if kept else retain[:1],
                "weights": torch.tensor([len(f) / len(forget), kept]),
            }
            batches.append(batch | ({"protected": p} if self.protected_rows else {}))
        return batches


def _parts(rows: int, size: int) -> int:
    """How many parts of at most this size the rows make."""
    return -(-rows // size)


@dataclass(frozen=True)
class Trials:
    """The paper's protocol: trial t takes `steps` steps on forget row t and its own `retain_batch` retain rows.

    The rows of a trial stay the same. One epoch is all trials, one after the other.
    """

    trials: int
    steps: int
    retain_rows: int
    retain_batch: int
    seed: int

    def __len__(self) -> int:
        return self.trials * self.steps

    def retain_of(self, trial: int) -> Tensor:
        """The retain rows [retain_batch] in this trial's loss, drawn without replacement."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + trial)
        return torch.randperm(self.retain_rows, generator=generator)[: self.retain_batch]

    def epoch(self, number: int) -> list[Batch]:
        batches = [
            {"forget": torch.tensor([trial]), "retain": self.retain_of(trial), "weights": torch.ones(2)}
            for trial in range(self.trials)
        ]
        return [batch for batch in batches for _ in range(self.steps)]


class BatchLoader:
    """Hands the batches of a plan to Lightning, and tells a checkpoint where it stands (epoch, batch)."""

    def __init__(self, plan: PairedEpochs | Trials) -> None:
        self.plan = plan
        self.position = {"epoch": 0, "batch": 0}

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Batch]:
        # Lightning stops asking after the last batch, so the turn of the epoch is noticed at the next start.
        if self.position["batch"] == len(self.plan):
            self.position = {"epoch": self.position["epoch"] + 1, "batch": 0}
        batches = self.plan.epoch(self.position["epoch"])
        for number in range(self.position["batch"], len(batches)):
            self.position["batch"] = number + 1
            yield batches[number]

    def state_dict(self) -> dict[str, Any]:
        return dict(self.position)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = dict(state)
