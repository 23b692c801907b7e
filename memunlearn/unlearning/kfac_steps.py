"""The steps that `optimizer=kfac` takes: along solved gradients, as far as is allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from memunlearn import several_processes
from memunlearn.curvature.solving import Solver
from memunlearn.objectives.by_rows import mean_kl
from memunlearn.objectives.material import Side
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.forward import continuation_states
from memunlearn.scoring.output_head import OutputHead
from memunlearn.unlearning.optimizers import Deltas

LONGER_AT_MOST = 2.0
"""Times the predicted length: what is measured of a step that changes next to nothing is rounding."""


@dataclass(frozen=True, eq=False)
class Probe:
    """What the model says on a few rows [N, I], to be compared before and after a step."""

    model: PreTrainedModel
    rows: ParagraphSet

    def states(self) -> Tensor:
        """The final hidden states [N, C, D], in the precision of the weights."""
        return continuation_states(self.model, self.rows.ids, self.rows.continuation_length)

    def kl(self, before: Tensor, now: Tensor) -> Tensor:
        """KL of what was said with these states from what is said with those: a scalar, nats per token."""
        head = OutputHead.of(self.model)
        side = Side(
            rows=torch.arange(len(self.rows)),
            labels=self.rows.continuations,
            states=now,
            head=head,
            vocabulary=head.vocabulary,
            protected=torch.zeros(len(self.rows), dtype=torch.bool),
            read_base_states=lambda: before,
        )
        return mean_kl(side)


class KfacSteps(Optimizer):
    """See `kfac.Kfac`.

    deltas, solvers: by the weight's name. length: the norm of a step; max_kl: nats a step, as predicted and then, where there
    is a probe, as measured on it. None: no bound of this kind. device: of the solvers, None for that of the deltas.
    """

    def __init__(
        self,
        deltas: Deltas,
        solvers: Mapping[str, Solver],
        *,
        momentum: float,
        max_kl: float | None,
        length: float | None = None,
        probe: Probe | None = None,
        device: torch.device | None = None,
    ) -> None:
        groups = [{"params": [delta], "name": name} for name, delta in deltas.items()]
        super().__init__(groups, {"momentum": momentum})
        self.solvers, self.max_kl, self.length, self.probe, self.device = solvers, max_kl, length, probe, device

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step down the last gradient with momentum. Nothing is read back from the device."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # The others' gradients are the same, and so would their steps be but for rounding, with which they would drift apart.
        if several_processes.number() == 0:
            with several_processes.by_itself():
                self._descend()
        several_processes.as_in_the_first(delta for group in self.param_groups for delta in group["params"])
        return loss

    def _descend(self) -> None:
        changes: list[tuple[Tensor, Tensor]] = []
        costs: list[Tensor] = []
        for group in self.param_groups:
            for delta in group["params"]:
                if delta.grad is None:
                    continue
                past = self.state[delta].setdefault("momentum", torch.zeros_like(delta))
                past.mul_(group["momentum"]).add_(delta.grad)
                change, cost = self._solved(group["name"], past)
                changes.append((delta, change))
                costs.append(cost)
        if changes:
            self._move(changes, *self._scales([change for _, change in changes], costs))

    def _move(self, changes: Sequence[tuple[Tensor, Tensor]], scale: Tensor, longest: Tensor) -> None:
        before = None if self.probe is None else self.probe.states()
        for delta, change in changes:
            delta.sub_(scale * change)
        if self.probe is None or before is None or self.max_kl is None:
            return
        # The KL grows with the square of a step, about; one that was far too short is lengthened step by step.
        measured = self.probe.kl(before, self.probe.states())
        factor = (self.max_kl / measured.clamp_min(torch.finfo(measured.dtype).tiny)).sqrt().clamp_max(LONGER_AT_MOST)
        further = (factor * scale).minimum(longest) - scale
        for delta, change in changes:
            delta.sub_(further * change)

    def _solved(self, name: str, gradient: Tensor) -> tuple[Tensor, Tensor]:
        change, cost = self.solvers[name](gradient.to(self.device or gradient.device))
        return change.to(gradient.device), cost.to(gradient.device)

    def _scales(self, changes: Sequence[Tensor], costs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What the changes are multiplied with, and the most that their length allows: scalars; 0 where they are nothing."""
        norm = torch.stack([change.norm() for change in changes]).norm()
        predicted = torch.stack(list(costs)).sum()
        nothing, endless = torch.zeros_like(norm), torch.full_like(norm, torch.inf)
        longest = endless if self.length is None else self.length / norm
        scale = longest if self.max_kl is None else (self.max_kl / predicted).sqrt().minimum(longest)
        moves = (norm > 0) & (scale < torch.inf)
        return torch.where(moves, scale, nothing), torch.where(moves, longest, nothing)
