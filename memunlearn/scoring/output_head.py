"""From the final hidden states to logits, as the model does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.models.text_config import text_config


@dataclass(frozen=True, eq=False)
class OutputHead:
    """A product, and what some architectures do to it: logits = cap * tanh(scale * product / (divisor * cap)).

    product: the layer of the output embeddings. cap: of Gemma's soft cap (arXiv 2408.00118, section 2). scale: Cohere's,
    divisor: Granite's. None: left out.
    """

    product: nn.Module
    cap: float | None = None
    scale: float | None = None
    divisor: float | None = None

    @staticmethod
    def of(model: PreTrainedModel) -> OutputHead:
        config: Any = text_config(model)
        return OutputHead(
            model.get_output_embeddings(),
            cap=getattr(config, "final_logit_softcapping", None),
            scale=getattr(config, "logit_scale", None),
            divisor=getattr(config, "logits_scaling", None),
        )

    @property
    def width(self) -> int:
        """D, of what it is given."""
        weight: Any = self.product.weight
        return int(weight.shape[1])

    @property
    def vocabulary(self) -> int:
        """V, of what it gives."""
        weight: Any = self.product.weight
        return int(weight.shape[0])

    @property
    def device(self) -> torch.device:
        return next(self.product.parameters()).device

    def __call__(self, hidden: Tensor) -> Tensor:
        """Hidden states after the final norm [..., D] -> logits [..., V], by the same steps in the same precision."""
        logits: Tensor = self.product(hidden)
        if self.scale is not None:
            logits = logits * self.scale
        if self.divisor is not None:
            logits = logits / self.divisor
        if self.cap is not None:
            logits = torch.tanh(logits / self.cap) * self.cap
        return logits


def check_head(model: PreTrainedModel, hidden: Tensor, logits: Tensor) -> None:
    """Raises UserError if this model's logits [B, C, V] are something else than its `OutputHead` of hidden [B, C, D]."""
    if not torch.allclose(OutputHead.of(model)(hidden), logits, rtol=1e-4, atol=1e-4):
        raise UserError(
            f"{type(model).__name__} changes its logits after the output head in a way that is not known here, so the base "
            "distribution cannot be kept as hidden states: this kind of model can be scored (python evaluate.py) but not "
            "unlearned"
        )
