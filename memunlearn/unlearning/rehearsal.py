"""Relearning in the loop: what comes back of some rows when others are learnt again is forgotten, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.objectives.losses import nll
from memunlearn.objectives.material import Objective, Stateful
from memunlearn.paragraphs.clusters import halves
from memunlearn.unlearning.step_rows import StepRows


@dataclass(frozen=True, eq=False)
class ComesBack:
    """term: the forget term where relearning leads, a constant scalar. gradients: its own there, by the delta's name."""

    term: Tensor
    gradients: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """The forget term becomes (1 - weight) * term(batch) + weight * term(half), the second where relearning leads.

    Half of the clusters of a batch's forget rows, drawn anew at each step, are learnt again: `steps` steps of Adam with this
    learning rate on their NLL, from where the model stands. There the forget term of the other half is taken, and its gradient
    there counts as one where the model stands (first order: not through the steps of relearning). A batch of one cluster has no
    other half, and keeps its own term. After TAR (Tamirisa et al. 2024, arXiv 2408.00761).

    It takes 2 x steps + 2 further passes of half a batch's forget rows a step, and room for three more copies of the deltas.
    """

    steps: int = 6
    lr: float = 2e-4
    weight: float = 0.8

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.lr > 0 or not 0 < self.weight <= 1:
            raise UserError(
                f"rehearsal.steps={self.steps}, rehearsal.lr={self.lr} and rehearsal.weight={self.weight}: the first must be 1 "
                "or more, the second above 0, the third above 0 and at most 1"
            )

    def check(self, objective: Objective) -> None:
        """Raises UserError for an objective that is not given the memorized text, or that counts its calls."""
        if isinstance(objective, Stateful):
            raise UserError(
                f"rehearsal=relearning asks for losses more than once a step, and objective {type(objective).__name__} "
                "remembers each: leave rehearsal out, or choose another objective"
            )
        if objective.needs.alternatives and not objective.needs.originals:
            raise UserError(
                f"rehearsal=relearning learns memorized text again, and objective {type(objective).__name__} is not given it: "
                "leave rehearsal out, or choose another objective"
            )

    def comes_back(
        self,
        *,
        model: PreTrainedModel,
        objective: Objective,
        rows: StepRows,
        batch: Mapping[str, Tensor],
        deltas: Mapping[str, Tensor],
        clusters: Tensor,
        seed: int,
    ) -> ComesBack | None:
        """The forget term of the other half where relearning leads; None for a batch of one cluster.

        clusters: [N] of every row that batch["forget"] may name. The deltas are moved meanwhile, and come back bit by bit: what
        was computed from them before can no longer be differentiated.
        """
        learnt, other = (batch["forget"][half] for half in halves(clusters[batch["forget"]], seed))
        if not len(learnt):
            return None
        few = {**batch, "retain": batch["retain"][:1]}  # no term of theirs is used here
        if "protected" in batch:
            few["protected"] = batch["protected"][:0]
        with _coming_back(list(deltas.values())):
            self._relearn(model, rows, {**few, "forget": learnt}, deltas)
            term = objective(rows.material(model, {**few, "forget": other}, deltas)).forget_term
            gradients = torch.autograd.grad(term, list(deltas.values()), allow_unused=True)
        known = {name: gradient for name, gradient in zip(deltas, gradients, strict=True) if gradient is not None}
        return ComesBack(term.detach(), known)

    def mixed(self, own: Tensor, there: ComesBack | None, deltas: Mapping[str, Tensor]) -> Tensor:
        """The step's forget term, a scalar: own is the objective's where the model stands."""
        if there is None:
            return own
        # 0 in value: what counts is that its gradient is the one that was found where relearning led.
        linear = sum((gradient * (deltas[name] - deltas[name].detach())).sum() for name, gradient in there.gradients.items())
        return (1 - self.weight) * own + self.weight * (there.term + linear)

    def _relearn(
        self, model: PreTrainedModel, rows: StepRows, batch: Mapping[str, Tensor], deltas: Mapping[str, Tensor]
    ) -> None:
        trained = list(deltas.values())
        optimizer = torch.optim.Adam(trained, lr=self.lr)
        for _ in range(self.steps):
            material = rows.material(model, batch, deltas)
            text = material.original or material.forget
            gradients = torch.autograd.grad(nll(text.logits, text.labels), trained)
            for delta, gradient in zip(trained, gradients, strict=True):
                delta.grad = gradient
            optimizer.step()


@contextmanager
def _coming_back(tensors: list[Tensor]) -> Iterator[None]:
    """Whatever is done to the tensors and their gradients, they are as before afterwards."""
    before = [(tensor.detach().clone(), tensor.grad) for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, (kept, gradient) in zip(tensors, before, strict=True):
                tensor.copy_(kept)
                tensor.grad = gradient
