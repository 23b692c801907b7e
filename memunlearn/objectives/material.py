"""What an objective is given at a step, what it may ask for, and what it gives back.

B rows of a side, C continuation positions, V vocabulary, D hidden size. The logits and hidden states of a row are those at the
C positions that predict its continuation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from memunlearn.errors import UserError

SideName = Literal["forget", "original", "retain"]
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What an objective needs beside the logits and labels of its rows: what is not named is not measured, kept or computed.

    alternatives: the forget rows are original prefixes with their alternatives (greedy continuations after one prefix token was
        perturbed), not the memorized paragraphs.
    originals: with alternatives, the memorized paragraphs of the same rows, too (`StepMaterial.original`).
    base_logits: sides, other than retain, on which the base model's logits are asked for. On the retain side they are always to
        be had: the training curve shows the KL.
    layer: the block after which hidden states are asked for, from 0; "middle" is L // 2 of L blocks.
    base_hidden: sides on which the base model's hidden states of that layer are asked for.
    """

    alternatives: bool = False
    originals: bool = False
    base_logits: tuple[Literal["forget", "original"], ...] = ()
    layer: int | Literal["middle"] | None = None
    base_hidden: tuple[SideName, ...] = ()

    def __post_init__(self) -> None:
        if self.originals and not self.alternatives:
            raise ValueError("without alternatives the forget rows are the originals")
        if "original" in (*self.base_logits, *self.base_hidden) and not self.originals:
            raise ValueError("something is asked for on original rows, and these are not")
        if self.base_hidden and self.layer is None:
            raise ValueError("the base model's hidden states are asked for, but of no layer")


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """The rows of one side of a step.

    rows: [B] int64 row numbers in their set, on the CPU. labels: [B, C] int64, the true tokens. states: [B, C, D], the current
    model's final hidden states; head: from states [..., D] to logits [..., V], V the vocabulary. protected: [B] bool, on the
    CPU: memorized text to keep (of the retain side, numbered in a set of their own). hidden_states: [B, C, D] of the current
    model after `Needs.layer`, None where none were asked for. read_base_states, read_base_hidden: what the base model's are
    read with, None likewise.
    """

    rows: Tensor
    labels: Tensor
    states: Tensor
    head: Callable[[Tensor], Tensor]
    vocabulary: int
    protected: Tensor
    hidden_states: Tensor | None = None
    read_base_states: Callable[[], Tensor] | None = None
    read_base_hidden: Callable[[], Tensor] | None = None

    @staticmethod
    def of_logits(
        *,
        rows: Tensor,
        labels: Tensor,
        logits: Tensor,
        protected: Tensor,
        hidden_states: Tensor | None = None,
        read_base_logits: Callable[[], Tensor] | None = None,
        read_base_hidden: Callable[[], Tensor] | None = None,
    ) -> Side:
        """Of rows whose logits [B, C, V] are there already, and the base model's with them."""
        return Side(
            rows=rows,
            labels=labels,
            states=logits,
            head=_as_given,
            vocabulary=logits.shape[-1],
            protected=protected,
            hidden_states=hidden_states,
            read_base_states=read_base_logits,
            read_base_hidden=read_base_hidden,
        )

    @property
    def hidden(self) -> Tensor:
        """[B, C, D]: the current model's hidden states after `Needs.layer`."""
        return _asked_for(self.hidden_states, "layer")

    @cached_property
    def logits(self) -> Tensor:
        """[B, C, V], the current model's, of all rows together: large (`by_rows`)."""
        return self.head(self.states)

    @cached_property
    def base_logits(self) -> Tensor:
        """[B, C, V]: the base model's, one head product from its cached final hidden states; constants."""
        with torch.no_grad():
            return self.head(self.base_states)

    @cached_property
    def base_states(self) -> Tensor:
        """[B, C, D]: the base model's final hidden states; constants."""
        return _asked_for(self.read_base_states, "base_logits")()

    @cached_property
    def base_hidden(self) -> Tensor:
        """[B, C, D]: the base model's hidden states after `Needs.layer`; constants."""
        return _asked_for(self.read_base_hidden, "base_hidden")()

    def part(self, rows: slice, states: Tensor) -> Side:
        """Some of the rows, with these states of theirs; their hidden states after a layer stay behind."""
        read = None if self.read_base_states is None else lambda: self.base_states[rows]
        return Side(
            rows=self.rows[rows],
            labels=self.labels[rows],
            states=states,
            head=self.head,
            vocabulary=self.vocabulary,
            protected=self.protected[rows],
            read_base_states=read,
        )


def _as_given(logits: Tensor) -> Tensor:
    return logits


def _asked_for(value: Value | None, need: str) -> Value:
    if value is None:
        raise LookupError(f"this objective uses what it does not say it needs: name it in Needs.{need}")
    return value


@dataclass(frozen=True, kw_only=True, eq=False)
class StepMaterial:
    """Everything that a loss can be made of.

    forget: the rows of the forget term. retain: rows to be kept, protected ones last. original: the memorized paragraphs of the
    forget rows, if asked for. deltas: what is trained, by the weight's name: [K_tensor], or of the weight's shape.
    """

    forget: Side
    retain: Side
    deltas: Mapping[str, Tensor]
    original: Side | None = None


@dataclass(frozen=True)
class Losses:
    """Scalars of one batch. forget_term, retain_term: means over the batch's rows, weighted, whose sum is minimised; forget_nll
    and retain_kl: before weighting, nats per token, for the training curve."""

    forget_term: Tensor
    retain_term: Tensor
    forget_nll: Tensor
    retain_kl: Tensor

    @property
    def total(self) -> Tensor:
        return self.forget_term + self.retain_term


@runtime_checkable
class Stateful(Protocol):
    """An objective that remembers something from step to step."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class Objective(Protocol):
    """What is minimised, from a step's material. One with `state_dict` and `load_state_dict` (a multiplier, say) finds its
    state again in checkpoints; make a new one for each call of `unlearn`."""

    @property
    def needs(self) -> Needs: ...

    def __call__(self, step: StepMaterial) -> Losses: ...


def check_objective(objective: object) -> None:
    """Raises UserError if this is not an `Objective`."""
    if not callable(objective) or not isinstance(getattr(objective, "needs", None), Needs):
        raise UserError(
            f"objective {type(objective).__name__} does not say what it needs: give it an attribute `needs` and let it be "
            "called with a step's material, as docs/objectives.md says"
        )


def check_weights(forget_weight: float, retain_weight: float) -> None:
    """Raises UserError for weights that make no sense."""
    if not (forget_weight > 0 and retain_weight >= 0):
        raise UserError(
            f"objective.forget_weight={forget_weight} and objective.retain_weight={retain_weight}: "
            "the first must be above 0, the second 0 or more"
        )


def check_replacements(replacements: int) -> None:
    """Raises UserError for a number of perturbations, tried at each prefix position, with which none would be."""
    if replacements < 1:
        raise UserError(f"objective.replacements={replacements} must be 1 or more")


def check_positive(**settings: float) -> None:
    """Raises UserError for settings of an objective that are not above 0."""
    for name, value in settings.items():
        if not value > 0:
            raise UserError(f"objective.{name}={value} must be above 0")


def check_not_negative(**settings: float) -> None:
    """Raises UserError for settings of an objective that are below 0."""
    for name, value in settings.items():
        if not value >= 0:
            raise UserError(f"objective.{name}={value} must be 0 or more")
