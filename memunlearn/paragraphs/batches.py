"""The order in which rows are trained on: drops none, reshuffles each epoch, can be resumed in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class PairedEpochs:
    """An epoch is one pass over the larger of two sets; the smaller is cycled and reshuffled each time it has been used up.

    forget_batch rows of the one and retain_batch rows of the other make a batch {"forget": [F], "retain": [R]} of row numbers.
    The last batch of the larger set may be smaller; every row of both sets is used in every epoch.
    """

    forget_rows: int
    retain_rows: int
    forget_batch: int
    retain_batch: int
    seed: int

    def __len__(self) -> int:
        """Batches an epoch."""
        return max(-(-self.forget_rows // self.forget_batch), -(-self.retain_rows // self.retain_batch))

    def epoch(self, number: int) -> list[Batch]:
        """The batches of one epoch: a pure function of the seed and the epoch's number."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        forget = self._stream(self.forget_rows, self.forget_batch, generator)
        retain = self._stream(self.retain_rows, self.retain_batch, generator)
        return [{"forget": f, "retain": r} for f, r in zip(forget, retain, strict=True)]

    def _stream(self, rows: int, batch: int, generator: torch.Generator) -> list[Tensor]:
        passes = -(-len(self) * batch // rows)
        order = torch.cat([torch.randperm(rows, generator=generator) for _ in range(passes)])
        # The larger set is passed over exactly once; the smaller fills every batch.
        once = -(-rows // batch) == len(self)
        return list((order[:rows] if once else order[: len(self) * batch]).split(batch))


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
        batches = [{"forget": torch.tensor([trial]), "retain": self.retain_of(trial)} for trial in range(self.trials)]
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
