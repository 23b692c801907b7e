"""The rows of a loss, what is known of the base model on them, and a step's material made of a batch of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.objectives.material import Needs, Side, StepMaterial
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.forward import ReferenceStates, continuation_states
from memunlearn.scoring.hidden_states import outputs_of
from memunlearn.scoring.inputs import onto
from memunlearn.scoring.output_head import OutputHead
from memunlearn.unlearning.preparation import Preparation


@dataclass(frozen=True)
class KnownRows:
    """N rows. states, hidden: the base model's final hidden states and those [N, C, D] after the block; None if not needed."""

    paragraphs: ParagraphSet
    states: ReferenceStates | None = None
    hidden: Tensor | None = None

    def select(self, rows: Tensor) -> KnownRows:
        return KnownRows(
            self.paragraphs.select(rows),
            None if self.states is None else self.states.select(rows),
            None if self.hidden is None else self.hidden[rows],
        )

    @property
    def bytes(self) -> int:
        """Of what is known of the base model."""
        final = 0 if self.states is None else self.states.hidden.nbytes
        return final + (0 if self.hidden is None else self.hidden.nbytes)

    def to(self, device: torch.device) -> KnownRows:
        """The same; what is known of the base model on the device."""
        states = None if self.states is None else replace(self.states, hidden=self.states.hidden.to(device))
        return replace(self, states=states, hidden=None if self.hidden is None else self.hidden.to(device))


Part = tuple[KnownRows, Tensor]
"""Some rows of a set: the set, and their numbers."""


@dataclass(frozen=True, kw_only=True)
class StepRows:
    """Every row that can stand in a loss, by side. block: the path of the block after which hidden states are wanted."""

    forget: KnownRows
    retain: KnownRows
    original: KnownRows | None = None
    protected: KnownRows | None = None
    block: str | None = None

    @staticmethod
    def of(preparation: Preparation, needs: Needs) -> StepRows:
        """Raises UserError if the preparation was made for an objective of other needs; more base logits will do."""
        known_logits = preparation.needs.base_logits
        if replace(needs, base_logits=known_logits) != preparation.needs or not set(needs.base_logits) <= set(known_logits):
            raise UserError(
                "the preparation lacks what this objective needs, or was made for another: "
                "prepare(model, sets) with the needs of this one"
            )
        baselines = preparation.baselines
        states: dict[str, ReferenceStates] = {"retain": baselines["retain_train"].states}
        states.update({str(side): known for side, known in preparation.states.items()})
        if "protected" in baselines:
            states["protected"] = baselines["protected"].states
        known = {
            side: KnownRows(rows, states.get(side), preparation.hidden.get(side))
            for side, rows in preparation.rows_by_side.items()
        }
        return StepRows(**known, block=preparation.block)

    def choose(self, rows: Tensor) -> StepRows:
        """With these forget rows only."""
        original = None if self.original is None else self.original.select(rows)
        return StepRows(
            forget=self.forget.select(rows),
            retain=self.retain,
            original=original,
            protected=self.protected,
            block=self.block,
        )

    def near(self, device: torch.device, budget: float) -> StepRows:
        """What is known of the base model is moved to the device: of the sides in their order all that `budget` bytes hold."""
        sides = {"forget": self.forget, "retain": self.retain, "original": self.original, "protected": self.protected}
        moved: dict[str, Any] = {}
        for name, known in sides.items():
            if known is not None and known.bytes <= budget:
                budget -= known.bytes
                moved[name] = known.to(device)
        return replace(self, **moved)

    def material(self, model: PreTrainedModel, batch: Mapping[str, Tensor], deltas: Mapping[str, Tensor]) -> StepMaterial:
        """All rows of the batch in one pass of the current model. batch: as in `paragraphs.batches`."""
        sides: dict[str, list[Part]] = {"forget": [(self.forget, batch["forget"])]}
        if self.original is not None:
            sides["original"] = [(self.original, batch["forget"])]
        sides["retain"] = [(self.retain, batch["retain"])]
        if self.protected is not None:
            sides["retain"].append((self.protected, batch["protected"]))
        length = self.forget.paragraphs.continuation_length
        ids = torch.cat([known.paragraphs.ids[rows] for parts in sides.values() for known, rows in parts])
        with contextlib.ExitStack() as hooked:
            received = []
            if self.block is not None:
                received = hooked.enter_context(outputs_of(model.get_submodule(self.block), length))
            states = continuation_states(model, ids, length)
        counts = [sum(len(rows) for _, rows in parts) for parts in sides.values()]
        of_side = dict(zip(sides, states.split(counts), strict=True))
        hidden = dict(zip(sides, received[0].split(counts), strict=True)) if received else {}
        head = OutputHead.of(model)
        made = {name: _side(parts, head, of_side[name], hidden.get(name)) for name, parts in sides.items()}
        return StepMaterial(forget=made["forget"], retain=made["retain"], original=made.get("original"), deltas=deltas)


def _side(parts: Sequence[Part], head: OutputHead, current: Tensor, hidden: Tensor | None) -> Side:
    device = current.device
    states = [(known.states.hidden, rows) for known, rows in parts if known.states is not None]
    layers = [(known.hidden, rows) for known, rows in parts if known.hidden is not None]
    labels = torch.cat([known.paragraphs.continuations[rows] for known, rows in parts])
    protected = torch.cat([torch.full((len(rows),), number > 0) for number, (_, rows) in enumerate(parts)])
    return Side(
        rows=torch.cat([rows for _, rows in parts]),
        labels=onto(labels, device),
        states=current,
        head=head,
        vocabulary=head.vocabulary,
        protected=protected,
        hidden_states=hidden,
        read_base_states=partial(_read, states, device) if states else None,
        read_base_hidden=partial(_read, layers, device) if layers else None,
    )


def _read(parts: Sequence[tuple[Tensor, Tensor]], device: torch.device) -> Tensor:
    """Of each tensor [N, C, D] some rows: [B, C, D] on the device."""
    return onto(torch.cat([kept[onto(rows, kept.device)] for kept, rows in parts]), device)
