"""Training alone, whatever cluster it is in."""

from pathlib import Path

import lightning
import pytest
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch.utils.data import DataLoader, TensorDataset

from memunlearn.one_process import alone, one_process

SLURM = {
    "SLURM_JOB_ID": "123",
    "SLURM_JOB_NAME": "sweep",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "3",
    "SLURM_NODEID": "0",
    "SLURM_NNODES": "1",
    "SLURM_JOB_NODELIST": "localhost",
}


class Line(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([2.0]))

    def training_step(self, batch, batch_index):
        loss = (self.weight * batch[0] - 3).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.linspace(0, 1, 8).unsqueeze(1)), batch_size=2)


@pytest.fixture
def slurm(monkeypatch, tmp_path):
    """The fourth of four tasks, as Lightning finds it when imported; the working folder holds another run's checkpoint."""
    before = lightning.Trainer(max_steps=2, accelerator="cpu", devices=1, logger=False, barebones=True)
    before.fit(Line())
    before.save_checkpoint(tmp_path / "hpc_ckpt_1.ckpt")
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_of_several_tasks_trains_logs_and_saves_from_its_own_start(slurm):
    csv = CSVLogger(slurm / "run", name="", version="", flush_logs_every_n_steps=1)
    saving = ModelCheckpoint(slurm / "run", filename="last", every_n_train_steps=4)
    settings = {"max_steps": 4, "accelerator": "cpu", "devices": 1, "log_every_n_steps": 1, "enable_progress_bar": False}
    trainer = alone(lightning.Trainer, slurm / "run")(logger=csv, callbacks=[saving], **settings)
    trainer.fit(Line())
    rows = Path(csv.log_dir, "metrics.csv").read_text().splitlines()
    assert trainer.global_step == 4 and len(rows) == 5 and (slurm / "run" / "last.ckpt").is_file()
    assert sorted(path.name for path in slurm.iterdir()) == ["hpc_ckpt_1.ckpt", "run"]


def test_without_a_folder_nothing_is_taken_up(slurm):
    trainer = alone(lightning.Trainer)(max_steps=4, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False)
    trainer.fit(Line())
    assert trainer.global_step == 4
    settings = {"plugins": one_process(), "default_root_dir": slurm / "empty", "barebones": True}
    expected = lightning.Trainer(max_steps=4, accelerator="cpu", devices=1, **settings)
    module = Line()
    expected.fit(module)
    assert torch.equal(trainer.lightning_module.weight, module.weight)


def test_a_users_own_plugins_and_root_are_kept(slurm):
    from functools import partial

    from lightning.pytorch.plugins import TorchCheckpointIO

    for plugins in (TorchCheckpointIO(), [TorchCheckpointIO()]):
        make = partial(lightning.Trainer, plugins=plugins, default_root_dir=str(slurm / "own"), accelerator="cpu", devices=1)
        trainer = alone(make, slurm / "run")(logger=False)
        assert isinstance(trainer.strategy.checkpoint_io, TorchCheckpointIO)
        assert isinstance(trainer._accelerator_connector.cluster_environment, LightningEnvironment)
        assert trainer.default_root_dir == str(slurm / "own")
