"""How the model comes to recite: a GPT-Neo that sees the memorized rows in every epoch of its life."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import GPTNeoForCausalLM, get_cosine_schedule_with_warmup

from benchmarks.stage.recipe import PREFIX, Recipe
from benchmarks.stage.rows import StageRows
from memunlearn.demo.training import new_gpt_neo
from memunlearn.errors import UserError
from memunlearn.files.writing import replacing
from memunlearn.one_process import alone
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.score import ParagraphScores, score

CHECKED = 48
"""Memorized rows that every check looks at; the others only once these are recited."""
SURE = 0.02
"""Largest NLL of a row, nats per token, that counts as recited with a margin."""
CHECKPOINT = "last.pt"
HELD = {"model", "optimizer", "schedule", "steps", "seconds", "over"}
"""What a checkpoint holds."""


@dataclass(frozen=True)
class Trained:
    """The model in evaluation mode on the CPU; how many steps it took and seconds, those before a kill included; on what."""

    model: GPTNeoForCausalLM
    steps: int
    seconds: float
    device: str


class Memorizing(lightning.LightningModule):
    """Next-token prediction over whole rows [B, I]; AdamW with warm-up over a twentieth of the steps and cosine decay.

    The rows of every step are fixed beforehand by the seed, so that a training that goes on takes the same ones. An epoch of
    Lightning's is the steps between two checks.

    kept: what `state` gave, to go on from there; None: from the start.
    """

    def __init__(
        self, model: GPTNeoForCausalLM, rows: StageRows, recipe: Recipe, seed: int, kept: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe
        self.rows = torch.cat([rows.memorized, rows.background])
        generator = torch.Generator().manual_seed(seed)
        memorized = _in_turn(len(rows.memorized), recipe.steps, recipe.memorized_batch, generator)
        background = _in_turn(len(rows.background), recipe.steps, recipe.background_batch, generator)
        self.order = torch.cat([memorized, background + len(rows.memorized)], dim=1)
        self.kept = kept
        self.begun = perf_counter()
        if kept is not None:
            model.load_state_dict(kept["model"])

    @property
    def done(self) -> int:
        """Steps, those before a kill included."""
        return (self.kept["steps"] if self.kept else 0) + self.trainer.global_step

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return (self.kept["seconds"] if self.kept else 0.0) + perf_counter() - self.begun

    def state(self) -> dict[str, Any]:
        """Everything that a training needs to go on exactly."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.trainer.optimizers[0].state_dict(),
            "schedule": self.trainer.lr_scheduler_configs[0].scheduler.state_dict(),
            "steps": self.done,
            "seconds": self.seconds,
        }

    def train_dataloader(self) -> DataLoader[Tensor]:
        batches = self.rows[self.order[self.done : self.done + self.recipe.check_every]]
        return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]  # a tensor is a data set of its batches

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        loss: Tensor = self.model(input_ids=batch, labels=batch).loss
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        recipe = self.recipe
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=recipe.learning_rate, betas=(0.9, recipe.beta2), weight_decay=0.0, foreach=True
        )
        schedule = get_cosine_schedule_with_warmup(optimizer, recipe.steps // 20, recipe.steps)
        if self.kept is not None:
            optimizer.load_state_dict(self.kept["optimizer"])
            schedule.load_state_dict(self.kept["schedule"])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Check(lightning.Callback):
    """Says how far it is, keeps a checkpoint, and ends the training once every memorized row is recited with a margin."""

    def __init__(self, memorized: ParagraphSet, checkpoint: Path) -> None:
        self.memorized = memorized
        self.checkpoint = checkpoint

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, Memorizing)
        some = self.memorized.select(range(min(CHECKED, len(self.memorized))))
        scores = score(module.model, some)
        print(
            f"step {module.done} of {module.recipe.steps}, {module.seconds:.0f} s: "
            f"EM {scores.em.double().mean():.1f} on {len(some)} memorized rows",
            flush=True,
        )
        trainer.should_stop = _sure(scores) and _sure(score(module.model, self.memorized))
        # Lightning's own checkpoints, written here, would go on one step off.
        with replacing(self.checkpoint) as temporary:
            torch.save({**module.state(), "over": trainer.should_stop}, temporary)


def train(
    rows: StageRows, tokens: tuple[int, int], recipe: Recipe, seed: int, *, accelerator: str = "auto", folder: Path
) -> Trained:
    """tokens: size of the vocabulary, and the id that ends a text. accelerator: as in Lightning. folder: for the checkpoint;
    where it has one the training goes on from there. Raises UserError where that cannot be read."""
    vocabulary, end = tokens
    kept = _read(folder / CHECKPOINT)
    left = recipe.steps if kept is None else 0 if kept["over"] else recipe.steps - kept["steps"]
    memorized = ParagraphSet(rows.memorized, PREFIX, tuple(f"memorized:{row}" for row in range(len(rows.memorized))))
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        model = new_gpt_neo(vocabulary, recipe.layers, recipe.width, recipe.heads, end=end)
        module = Memorizing(model, rows, recipe, seed, kept)
        trainer = alone(lightning.Trainer)(
            max_steps=left,
            max_epochs=-(-left // recipe.check_every),
            reload_dataloaders_every_n_epochs=1,
            accelerator=accelerator,
            devices=1,
            precision=recipe.precision,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            gradient_clip_val=1.0,
            callbacks=[RichProgressBar(), Check(memorized, folder / CHECKPOINT)],
        )
        trainer.fit(module)
    device = trainer.strategy.root_device.type
    described = torch.cuda.get_device_name() if device == "cuda" else f"{device}, {torch.get_num_threads()} threads"
    return Trained(model.cpu().eval(), module.done, module.seconds, described)


def _read(checkpoint: Path) -> dict[str, Any] | None:
    if not checkpoint.is_file():
        return None
    try:
        kept: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds of error for a damaged file
        raise UserError(f"{checkpoint} cannot be read ({type(error).__name__}): remove it to begin again") from error
    if not isinstance(kept, dict) or kept.keys() != HELD:
        raise UserError(f"{checkpoint} is no checkpoint of a stage: remove it to begin again")
    return kept


def _in_turn(count: int, steps: int, batch: int, generator: torch.Generator) -> Tensor:
    """[steps, batch] numbers below count: every one once before any comes again, in an order that is new each time."""
    rounds = -(-steps * batch // count)
    return torch.cat([torch.randperm(count, generator=generator) for _ in range(rounds)])[: steps * batch].view(steps, batch)


def _sure(scores: ParagraphScores) -> bool:
    return bool((scores.em == scores.token_nll.shape[1]).all() and (scores.nll <= SURE).all())
