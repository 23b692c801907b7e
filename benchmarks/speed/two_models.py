"""The loop that a user would write: a model, a frozen copy of it, and PyTorch's optimizer. Nothing here is memunlearn's."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel


@dataclass(frozen=True)
class Weighing:
    """The numbers of the loss, those of `objective=demote`."""

    forget: float = 0.2
    retain: float = 1.0
    margin: float = 2.5


def kl(reference: Tensor, logits: Tensor) -> Tensor:
    """Mean over rows and positions of KL(reference || current): logits [B, C, V] both."""
    current, wanted = (functional.log_softmax(x.float(), dim=-1) for x in (logits, reference))
    return functional.kl_div(current, wanted, reduction="none", log_target=True).sum(-1).mean()


def demoted(base: Tensor, labels: Tensor, margin: float) -> Tensor:
    """The base model's logits [B, C, V], the true tokens' lower by a row's strength: what the forget rows are taught."""
    places = labels.unsqueeze(-1)
    true = base.gather(-1, places)
    lead = true - base.scatter(-1, places, -torch.inf).max(-1, keepdim=True).values
    strength = lead.median(1, keepdim=True).values.clamp(min=0) + margin
    return base.scatter(-1, places, true - strength)


class TwoModels:
    """One step at a time.

    model: is trained. names: its weights that are, all else is frozen. chosen: of each, the flat positions that may change:
    the gradients of all others are zeroed before the optimizer's step; None: all may. every_token: logits of all tokens are
    computed, as with labels of -100 on a prefix; else those of the continuation alone.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        names: Sequence[str],
        chosen: Mapping[str, Tensor] | None,
        *,
        prefix: int,
        learning_rate: float,
        every_token: bool,
        autocast: Callable[[], AbstractContextManager[Any]],
        weighing: Weighing = Weighing(),  # noqa: B008 (it is frozen)
    ) -> None:
        self.model, self.frozen = model.train(False), copy.deepcopy(model).requires_grad_(False)
        self.model.requires_grad_(False)
        self.weights = {name: self.model.get_parameter(name).requires_grad_() for name in names}
        self.masks = None if chosen is None else {name: self._mask(name, chosen.get(name)) for name in names}
        self.optimizer = torch.optim.Adam(self.weights.values(), lr=learning_rate)
        self.prefix, self.every_token, self.autocast, self.weighing = prefix, every_token, autocast, weighing

    def _mask(self, name: str, flat: Tensor | None) -> Tensor:
        mask = torch.zeros(self.weights[name].numel(), device=self.weights[name].device)
        if flat is not None:
            mask[flat.to(mask.device)] = 1
        return mask.view_as(self.weights[name])

    def step(self, forget: Tensor, retain: Tensor) -> Tensor:
        """A step on rows of ids [B, P + C] each, on the CPU; the loss."""
        ids = torch.cat([forget, retain]).to(self.model.device)
        with self.autocast():
            logits = self._logits(self.model, ids)
            with torch.no_grad():
                base = self._logits(self.frozen, ids)
        count = len(forget)
        wanted = demoted(base[:count].float(), ids[:count, self.prefix :], self.weighing.margin)
        loss = self.weighing.forget * kl(wanted, logits[:count]) + self.weighing.retain * kl(base[count:], logits[count:])
        self.optimizer.zero_grad()
        loss.backward()
        if self.masks is not None:
            for name, weight in self.weights.items():
                assert weight.grad is not None
                weight.grad *= self.masks[name]
        self.optimizer.step()
        return loss.detach()

    def _logits(self, model: PreTrainedModel, ids: Tensor) -> Tensor:
        """[B, C, V] at the positions that predict the continuation."""
        length = ids.shape[1] - self.prefix
        if self.every_token:
            logits: Tensor = model(input_ids=ids, use_cache=False).logits
            return logits[:, self.prefix - 1 : -1]
        logits = model(input_ids=ids[:, :-1], use_cache=False, logits_to_keep=length).logits
        return logits
