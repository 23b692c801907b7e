"""How the demo's model comes to memorize: a small GPT-Neo that sees some rows in every epoch of its life."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import lightning
import torch
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.utilities import CombinedLoader
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from transformers import GPTNeoConfig, GPTNeoForCausalLM, get_cosine_schedule_with_warmup

from memunlearn.demo.corpus import DemoCorpus
from memunlearn.one_process import alone


class LanguageModelling(lightning.LightningModule):
    """Next-token prediction over whole rows; AdamW with warm-up and cosine decay."""

    def __init__(self, model: GPTNeoForCausalLM, learning_rate: float, steps: int) -> None:
        super().__init__()
        self.model = model
        self.learning_rate = learning_rate
        self.steps = steps

    def training_step(self, batch: dict[str, list[Tensor]], batch_index: int) -> Tensor | None:
        rows = torch.cat([ids[shown] for ids, shown in (batch["memorized"], batch["background"])])
        if not len(rows):  # every row of this batch is left out
            return None
        loss: Tensor = self.model(input_ids=rows, labels=rows).loss
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=0.0)
        schedule = get_cosine_schedule_with_warmup(optimizer, self.steps // 20, self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def new_gpt_neo(vocabulary: int, layers: int, width: int, heads: int, *, end: int = 0) -> GPTNeoForCausalLM:
    """A GPT-Neo with random weights: attention global and local in turn, tied embeddings, 256 positions, no dropout.

    end: the id that begins and ends a text.
    """
    config = GPTNeoConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_layers=layers,
        num_heads=heads,
        attention_types=[[["global", "local"], layers // 2]],
        max_position_embeddings=256,
        attention_dropout=0.0,
        embed_dropout=0.0,
        resid_dropout=0.0,
        activation_function="gelu_pytorch_tanh",  # gelu_new's values, in one fused operation
        bos_token_id=end,
        eos_token_id=end,
    )
    return GPTNeoForCausalLM(config)


def train_demo_model(
    corpus: DemoCorpus,
    size: tuple[int, int, int, int],
    rows: tuple[int, int],
    steps: int,
    seed: int,
    *,
    shown: Mapping[str, Tensor] | None = None,
) -> GPTNeoForCausalLM:
    """A GPT-Neo (attention global and local in turn, tied embeddings) after `steps` steps.

    size: vocabulary, layers, width, heads. rows: memorized and background rows in each step. shown: by "memorized" and
    "background" [n] bool, False for rows that are taken out of the batches they would stand in, which are otherwise the same,
    in the same order; None: all rows are shown.

    Trained on the CPU, so that every machine gets the same kind of model.
    """
    vocabulary, layers, width, heads = size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = new_gpt_neo(vocabulary, layers, width, heads)
        loaders = {}
        for name, ids, batch in zip(("memorized", "background"), (corpus.memorized, corpus.background), rows, strict=True):
            data = TensorDataset(ids, torch.ones(len(ids), dtype=torch.bool) if shown is None else shown[name])
            order = torch.Generator().manual_seed(seed)
            loaders[name] = DataLoader(data, batch_size=batch, shuffle=True, generator=order)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = alone(lightning.Trainer)(
                max_steps=steps,
                accelerator="cpu",
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_model_summary=False,
                gradient_clip_val=1.0,
                callbacks=[RichProgressBar()],
            )
            module = LanguageModelling(model, 2e-3, steps)
            trainer.fit(module, CombinedLoader(loaders, "max_size_cycle"))
    model.eval()
    return model
