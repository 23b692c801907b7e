"""The devices that a run trains on: one, or several with a process each."""

from __future__ import annotations

from typing import Any

import torch
from lightning.fabric import Fabric
from omegaconf import DictConfig

from memunlearn.commands.inputs import choose_device
from memunlearn.errors import UserError
from memunlearn.objectives.material import Objective, Stateful
from memunlearn.one_process import one_process
from memunlearn.unlearning.edits.lora import LoRA
from memunlearn.unlearning.joint import Joint

ONE = "trainer=default (one device), or several jobs of a sweep side by side"
FSDP = (
    "trainer.strategy=fsdp leaves each process a part of every delta, where steps, checks, checkpoints and patches read and "
    "write whole ones: use trainer=ddp, where every device holds the model (trainer.precision=bf16-mixed, and a smaller "
    "batch_size with accumulate, take less memory)"
)


def training_devices(trainer: DictConfig) -> list[torch.device]:
    """One a process. Raises UserError if there are not as many."""
    if trainer.strategy != "ddp":
        return [choose_device(trainer.accelerator)]
    try:
        fabric = Fabric(accelerator=trainer.accelerator, devices=trainer.devices, strategy="ddp", plugins=one_process())
    except Exception as error:  # Lightning raises its own and PyTorch's errors here
        raise UserError(
            f"trainer.devices={trainer.devices} of trainer.accelerator={trainer.accelerator} are not to be had here ({error}): "
            "set as many as there are, or auto"
        ) from error
    strategy: Any = fabric.strategy
    return list(strategy.parallel_devices)


def check_devices(trainer: DictConfig) -> None:
    """Raises UserError for what is not tested: several devices by another strategy than ddp, several nodes."""
    strategy, nodes = str(trainer.strategy), trainer.get("num_nodes", 1)
    if nodes not in (1, "1"):
        raise UserError(
            f"num_nodes={nodes} of the trainer is not tested: leave it out, for the devices of one node, or use {ONE}"
        )
    if "fsdp" in strategy:
        raise UserError(FSDP)
    if strategy == "ddp":
        return
    if trainer.devices not in (1, "1") or strategy not in ("auto", "single_device"):
        raise UserError(
            f"trainer.devices={trainer.devices} with trainer.strategy={strategy} is not tested: use trainer=ddp, or {ONE}"
        )


def check_shared(protocol: object, objective: Objective, rehearsal: object | None) -> None:
    """Raises UserError for what a run in several processes would do otherwise than in one."""
    for wrong, name, why in (
        (
            not isinstance(protocol, Joint | LoRA),
            f"protocol {type(protocol).__name__}",
            "only joint and lora share their rows out",
        ),
        (isinstance(objective, Stateful), f"objective {type(objective).__name__}", "it remembers what one process has seen"),
        (rehearsal is not None, "rehearsal=relearning", "what comes back of a batch is learned from all of its rows"),
    ):
        if wrong:
            raise UserError(f"{name} goes with one process, since {why}: use {ONE}")
