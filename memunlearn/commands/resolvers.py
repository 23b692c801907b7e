"""What the config files refer to with ${NAME:...}, made known to OmegaConf."""

from __future__ import annotations

from omegaconf import OmegaConf

from memunlearn.commands.learning_rates import lr_for_mask
from memunlearn.commands.sweep_folder import job_folder


def register() -> None:
    """${job_folder:NUMBER,SWEEP} for hydra.sweep.subdir, and ${lr_for_mask:${mask}} for optimizer.lr."""
    OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)
    OmegaConf.register_new_resolver("lr_for_mask", lr_for_mask, replace=True)
