"""Lightning's trainer beside others: by their strategy, and without an answer of its own to signals."""

import signal
from functools import partial

import lightning
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from memunlearn.commands.several.trainer import Joined, leave_signals, together


class Line(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([2.0]))
        self.answers = set()

    def training_step(self, batch, batch_index):
        self.answers.add(signal.getsignal(signal.SIGTERM))
        return (self.weight * batch - 3).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self):
        return DataLoader(torch.linspace(0, 1, 4), batch_size=2)


@pytest.fixture
def answer():
    """What SIGTERM is answered with, for a moment."""
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, answer := lambda number, frame: None)
    yield answer
    signal.signal(signal.SIGTERM, before)


def test_the_answer_to_a_signal_is_left_to_stand(answer):
    for leave in (False, True):
        trainer = lightning.Trainer(max_steps=2, accelerator="cpu", devices=1, barebones=True)
        if leave:
            leave_signals(trainer)
        line = Line()
        trainer.fit(line)
        assert (line.answers == {answer}) == leave  # what Lightning does is what this is for
        assert signal.getsignal(signal.SIGTERM) is answer and trainer.global_step == 2


@pytest.mark.parametrize("unused", [False, True])
def test_the_trainer_is_one_of_several(monkeypatch, tmp_path, unused):
    for number in (1, 0):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda number=number: number)
        own = MixedPrecision("bf16-mixed", "cpu")
        make = together(partial(lightning.Trainer, accelerator="cpu", devices=3, plugins=[own]), tmp_path, unused=unused)
        trainer = make(logger=False, enable_checkpointing=False)
        assert isinstance(trainer.strategy, DDPStrategy) and isinstance(trainer.strategy.cluster_environment, Joined)
        assert (trainer.world_size, trainer.global_rank, trainer.local_rank) == (3, number, number)
        assert trainer.is_global_zero == (number == 0) and trainer.strategy.cluster_environment.creates_processes_externally
        assert trainer.default_root_dir == str(tmp_path)
        assert trainer.precision_plugin is own and trainer.strategy._ddp_kwargs["find_unused_parameters"] is unused
