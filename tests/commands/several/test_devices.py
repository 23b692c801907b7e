"""Which devices a run trains on, and what is refused of several."""

import command_runs
import pytest
import torch
from omegaconf import OmegaConf

from memunlearn.commands.several.devices import check_devices, check_shared, training_devices
from memunlearn.errors import UserError
from memunlearn.objectives.demote import Demote
from memunlearn.objectives.pdu import PDU
from memunlearn.unlearning.edits.lora import LoRA
from memunlearn.unlearning.joint import Joint
from memunlearn.unlearning.per_paragraph import PerParagraph


def trainer(**settings):
    return OmegaConf.create({"accelerator": "cpu", "devices": 1, "strategy": "auto"} | settings)


def test_one_device_a_process():
    cpu = torch.device("cpu")
    assert training_devices(trainer()) == [cpu]
    assert training_devices(trainer(strategy="ddp", devices=3)) == [cpu] * 3
    assert training_devices(trainer(strategy="ddp", devices="2")) == [cpu] * 2
    assert training_devices(trainer(strategy="ddp", devices="auto")) == [cpu]


@pytest.mark.parametrize("devices", [0, "many", [0, 1]])
def test_devices_that_are_not_there_are_refused(devices):
    with pytest.raises(UserError, match=r"trainer.devices=.* of trainer.accelerator=cpu are not to be had here"):
        training_devices(trainer(strategy="ddp", devices=devices))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"devices": 2}, "trainer.devices=2 with trainer.strategy=auto is not tested: use trainer=ddp, or trainer=default"),
        ({"strategy": "deepspeed"}, "trainer.strategy=deepspeed is not tested: use trainer=ddp"),
        ({"strategy": "ddp_spawn", "devices": 2}, "trainer.strategy=ddp_spawn is not tested: use trainer=ddp"),
        ({"strategy": "ddp", "num_nodes": 2}, "num_nodes=2 of the trainer is not tested: leave it out, for the devices of one"),
        (
            {"strategy": "fsdp", "devices": 2},
            "trainer.strategy=fsdp leaves each process a part of every delta, .* use trainer=ddp",
        ),
    ],
)
def test_other_strategies_are_refused_with_the_way_out(settings, said):
    with pytest.raises(UserError, match=said):
        check_devices(trainer(**settings))


@pytest.mark.parametrize("settings", [{}, {"devices": "1", "strategy": "single_device"}, {"devices": 4, "strategy": "ddp"}])
def test_these_are_tested(settings):
    check_devices(trainer(**settings))


def test_what_needs_all_rows_in_one_process_is_refused():
    for protocol in (Joint(), LoRA()):
        check_shared(protocol, Demote(), None)
    with pytest.raises(UserError, match=r"protocol PerParagraph goes with one process, .* use trainer=default"):
        check_shared(PerParagraph(), Demote(), None)
    with pytest.raises(UserError, match="objective PDU goes with one process"):
        check_shared(Joint(), PDU(), None)
    with pytest.raises(UserError, match="rehearsal=relearning goes with one process"):
        check_shared(Joint(), Demote(), object())


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("trainer=fsdp",), "trainer.strategy=fsdp leaves each process a part of every delta"),
        (("trainer=ddp", "trainer.devices=2", "protocol=per_paragraph"), "only joint and lora share their rows out"),
        (("trainer=ddp", "trainer.devices=2", "objective=pdu"), "it remembers what one process has seen"),
        (("trainer=ddp", "trainer.devices=two", "trainer.accelerator=cpu"), "trainer.devices=two of trainer.accelerator=cpu"),
    ],
)
def test_the_command_refuses_in_one_line_before_any_work(tmp_path, overrides, said):
    line = command_runs.train(*overrides, directory=tmp_path).the_error()
    assert said in line
    assert not (tmp_path / "checkpoints").exists()
