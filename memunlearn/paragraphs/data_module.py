"""What Lightning trains on."""

from __future__ import annotations

import lightning
import torch

from memunlearn.paragraphs.batches import Batch, BatchLoader, PairedEpochs, Trials


class UnlearningData(lightning.LightningDataModule):
    """Batches of row numbers {"forget": [F], "retain": [R], "weights": [2]}, with protected rows "protected": [Q]; the tokens
    and the base model's states lie with the module."""

    def __init__(self, plan: PairedEpochs | Trials) -> None:
        super().__init__()
        self.loader = BatchLoader(plan)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Row numbers stay where the rows are."""
        return batch

    def train_dataloader(self) -> BatchLoader:
        return self.loader
