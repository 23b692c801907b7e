"""The losses of the last steps, which lie on the device until somebody looks: reading each would make it wait at every step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import lightning
import torch
from torch import Tensor

from memunlearn.objectives.material import Losses
from memunlearn.several_processes import stacked

CURVE = ("train/loss", "train/forget_nll", "train/retain_kl")


def is_look(step: int) -> bool:
    """Whether the losses are read at this step at the latest: often at first, when losses diverge, then at every tenth."""
    return step & (step - 1) == 0 or step % 10 == 0


@dataclass
class UnreadLosses:
    """unread: (steps taken before, epoch, [5] on the device: what is minimised, forget term, retain term, forget NLL and retain
    KL, the batch's weights [2]) of each batch since the last look.
    rows: of the training curve, read but not logged yet, by steps taken before: epoch and CURVE of the step's last batch."""

    unread: list[tuple[int, int, Tensor, Tensor]] = field(default_factory=list)
    rows: dict[int, dict[str, float]] = field(default_factory=dict)

    def add(self, step: int, epoch: int, minimised: Tensor, losses: Losses, weights: Tensor) -> None:
        """weights [2]: of the batch's forget rows and of its rows to keep, as in `paragraphs.batches`."""
        shown = (minimised, losses.forget_term, losses.retain_term, losses.forget_nll, losses.retain_kl)
        self.unread.append((step, epoch, torch.stack([value.detach() for value in shown]), weights))

    def look(self, trainer: lightning.Trainer) -> int | None:
        """Reads all at once. Returns the first step, by steps taken before, whose loss was not finite, if there is one: it and
        what comes after it is in no curve."""
        if not self.unread:
            return None
        unread, self.unread = self.unread, []
        values_of_all = stacked(torch.stack([shown for _, _, shown, _ in unread]))
        table = means(values_of_all, stacked(torch.stack([weights for *_, weights in unread]))).tolist()
        for (step, epoch, *_), (minimised, *shown) in zip(unread, table, strict=True):
            if not math.isfinite(minimised):
                return step
            values = dict(zip(CURVE, shown, strict=True))
            self.rows[step] = {"epoch": epoch, **values}
        trainer.progress_bar_metrics.update(values)
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})
        return None

    def log(self, trainer: lightning.Trainer, before: int, always: Sequence[int] = ()) -> None:
        """Gives every logger the rows of steps before `before`: each trainer.log_every_n_steps-th, and those of `always`."""
        for step in sorted(step for step in self.rows if step < before):
            row, every = self.rows.pop(step), trainer.log_every_n_steps  # type: ignore[attr-defined]
            if (every and (step + 1) % every == 0) or step in always:
                for logger in trainer.loggers:
                    logger.log_metrics(row, step)
                    logger.save()


def means(values: Tensor, weights: Tensor) -> Tensor:
    """What is minimised and CURVE of n batches [n, 4], from the values [P, n, 5] and the weights [P, n, 2] of each batch's
    parts in P processes: means over its rows, whatever part of them a process has."""
    minimised, forget_term, retain_term, forget_nll, retain_kl = values.unbind(-1)
    # Of a batch without any of a side's rows, every process shows the same one.
    total = weights.sum(0)
    shares = torch.where(total > 0, weights / total, 1 / len(weights))
    forget, retain = shares.to(values.dtype).unbind(-1)
    loss = (forget * forget_term).sum(0) + (retain * retain_term).sum(0)
    return torch.stack([minimised.mean(0), loss, (forget * forget_nll).sum(0), (retain * retain_kl).sum(0)], -1)
