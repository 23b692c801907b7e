"""The losses of the last steps, which lie on the device until somebody looks: reading each would make it wait at every step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import lightning
import torch
from torch import Tensor

from memunlearn.objectives.material import Losses

CURVE = ("train/loss", "train/forget_nll", "train/retain_kl")


def is_look(step: int) -> bool:
    """Whether the losses are read at this step at the latest: often at first, when losses diverge, then at every tenth."""
    return step & (step - 1) == 0 or step % 10 == 0


@dataclass
class UnreadLosses:
    """unread: (steps taken before, epoch, [4] on the device: what is minimised, and CURVE) of each batch since the last look.
    rows: of the training curve, read but not logged yet, by steps taken before: epoch and CURVE of the step's last batch."""

    unread: list[tuple[int, int, Tensor]] = field(default_factory=list)
    rows: dict[int, dict[str, float]] = field(default_factory=dict)

    def add(self, step: int, epoch: int, minimised: Tensor, losses: Losses) -> None:
        shown = (minimised, losses.total, losses.forget_nll, losses.retain_kl)
        self.unread.append((step, epoch, torch.stack([value.detach() for value in shown])))

    def look(self, trainer: lightning.Trainer) -> int | None:
        """Reads all at once. Returns the first step, by steps taken before, whose loss was not finite, if there is one: it and
        what comes after it is in no curve."""
        if not self.unread:
            return None
        unread, self.unread = self.unread, []
        table = torch.stack([values for _, _, values in unread]).tolist()
        for (step, epoch, _), (minimised, *shown) in zip(unread, table, strict=True):
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
