"""The LightningModule: a model with deltas, its contrastive objective, and the base model's states to keep to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from memunlearn.models.sparse_delta import delta_parameters
from memunlearn.objectives.contrastive import Objective
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.forward import ReferenceStates, continuation_logits

MakeOptimizer = Callable[[Iterable[torch.nn.Parameter]], Optimizer]


class Unlearning(lightning.LightningModule):
    """Trains the deltas that are attached to `model`, and nothing else.

    forget: rows of the objective's forget term [F, I]. retain: rows that are kept [R, I], with the base model's states.
    A step whose loss is not finite is not taken; `diverged_at` then says after how many steps that was, and `last_good`
    holds the deltas (after `last_good_step` steps) of the last finite loss.
    """

    # Checkpoints hold deltas and their indices, not the base model.
    strict_loading = False

    def __init__(
        self,
        model: PreTrainedModel,
        objective: Objective,
        optimizer: MakeOptimizer,
        forget: ParagraphSet,
        retain: ParagraphSet,
        retain_states: ReferenceStates,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.make_optimizer = optimizer
        self.forget = forget
        self.retain = retain
        self.retain_states = retain_states
        self.last_good: dict[str, Tensor] = {}
        self.last_good_step = 0
        self.diverged_at: int | None = None

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor | None:
        forget, retain = batch["forget"].cpu(), batch["retain"].cpu()
        length = self.forget.continuation_length
        ids = torch.cat([self.forget.ids[forget], self.retain.ids[retain]])
        logits = continuation_logits(self.model, ids, length)
        with torch.no_grad():
            reference = self.retain_states.logits(retain)
        labels = self.forget.continuations[forget].to(logits.device)
        losses = self.objective(logits[: len(forget)], labels, logits[len(forget) :], reference)
        # Lightning divides by the full number of batches a step, also in an epoch's last step, which may have fewer.
        forget_share, retain_share = (self.trainer.accumulate_grad_batches * batch["weights"].cpu()).tolist()
        loss = forget_share * losses.forget_term + retain_share * losses.retain_term
        if not torch.isfinite(loss):
            self.diverged_at = self.global_step
            self.trainer.should_stop = True
            return None
        self.last_good = {name: delta.detach().clone() for name, delta in delta_parameters(self.model).items()}
        self.last_good_step = self.global_step
        values = {"loss": losses.total, "forget_nll": losses.forget_nll, "retain_kl": losses.retain_kl}
        self.log_dict({f"train/{name}": value.detach() for name, value in values.items()}, prog_bar=True, on_step=True)
        return loss

    def check_last_step(self) -> None:
        """Deltas that the last step itself made infinite or NaN have diverged too, though no loss was computed from them."""
        finite = all(bool(delta.isfinite().all()) for delta in delta_parameters(self.model).values())
        if self.diverged_at is None and not finite:
            self.diverged_at = self.global_step

    def configure_optimizers(self) -> Optimizer:
        return self.make_optimizer(delta_parameters(self.model).values())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        kept = {key: value for key, value in checkpoint["state_dict"].items() if ".parametrizations." in key}
        checkpoint["state_dict"] = {key: value for key, value in kept.items() if not key.endswith(".original")}
        checkpoint["last_good"] = {"deltas": self.last_good, "step": self.last_good_step}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.last_good, self.last_good_step = checkpoint["last_good"]["deltas"], checkpoint["last_good"]["step"]
