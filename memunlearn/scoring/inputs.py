"""What a model is given of rows of ids."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.paragraphs.paragraph_set import FILL


def onto(values: Tensor, device: torch.device) -> Tensor:
    """The same on the device; nothing waits for what the device still has to do."""
    if device.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def model_inputs(model: PreTrainedModel, ids: Tensor) -> dict[str, Tensor]:
    """Keyword arguments for a pass over ids [B, T]: every position is attended to but FILL, and no position is counted there.

    FILL goes to the front (a local layer sees so many tokens back, FILL or not), so that a row with a short prefix is read as
    it would be without. A token such as EOS inside a row is a token like any other.
    """
    filled = ids == FILL
    if bool(filled.any()):
        ids = ids.gather(1, filled.int().argsort(dim=1, descending=True, stable=True))
        filled = ids == FILL
    else:
        inputs = onto(ids, model.device)
        return {"input_ids": inputs, "attention_mask": torch.ones_like(inputs)}
    given = {"input_ids": ids.masked_fill(filled, 0), "attention_mask": (~filled).long()}
    if _takes_positions(type(model)):
        given["position_ids"] = ((~filled).cumsum(1) - 1).clamp(min=0)
    return {name: onto(values, model.device) for name, values in given.items()}


def _takes_positions(kind: type[PreTrainedModel]) -> bool:
    """Models whose positions are relative to each other take none."""
    return "position_ids" in inspect.signature(kind.forward).parameters
