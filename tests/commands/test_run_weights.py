"""Which weights a run may change, and the room that their curvature needs."""

import pytest
import tiny_architectures as tiny
import torch
from omegaconf import OmegaConf

from memunlearn.commands import run_weights
from memunlearn.commands.run_weights import weights_of_run
from memunlearn.errors import UserError
from memunlearn.models.components import eligible_weights
from memunlearn.models.loading import LoadedModel

CPU = torch.device("cpu")
PROTOCOLS = {
    "joint": "memunlearn.unlearning.joint.Joint",
    "per_paragraph": "memunlearn.unlearning.per_paragraph.PerParagraph",
    "task_vector": "memunlearn.unlearning.edits.task_vector.TaskVector",
    "zeroing": "memunlearn.unlearning.edits.zeroing.Zeroing",
}


def config(protocol, optimizer="memunlearn.unlearning.kfac.Kfac", **mask):
    whole = {"_target_": "memunlearn.masks.strategies.AllWeights", **mask}
    return OmegaConf.create(
        {"protocol": {"_target_": PROTOCOLS[protocol]}, "optimizer": {"_target_": optimizer, "_partial_": "torch" in optimizer}}
        | {"mask": whole}
    )


@pytest.fixture
def loaded():
    return LoadedModel(tiny.tiny_model("gpt_neo"), None, "tiny")


@pytest.mark.parametrize("protocol", ["joint", "per_paragraph", "task_vector"])
def test_what_steps_by_curvature_says_what_it_needs_or_is_refused(loaded, protocol, capsys, monkeypatch):
    weights = weights_of_run(config(protocol), loaded, CPU)
    assert [w.name for w in weights] == [w.name for w in eligible_weights(loaded.model)]
    assert capsys.readouterr().out.startswith(f"curvature of {len(weights)} weight matrices: ")
    weights_of_run(config(protocol, components=["mlp_out"]), loaded, CPU)
    assert capsys.readouterr().out.startswith(f"curvature of {tiny.LAYERS} weight matrices: ")
    monkeypatch.setattr(run_weights, "memory_of", lambda device: 10_000)
    with pytest.raises(UserError, match="optimizer=kfac needs"):
        weights_of_run(config(protocol), loaded, CPU)


def test_nothing_is_said_where_no_curvature_is_measured(loaded, capsys):
    weights_of_run(config("zeroing"), loaded, CPU)
    weights_of_run(config("joint", optimizer="torch.optim.Adam"), loaded, CPU)
    assert capsys.readouterr().out == ""


def test_of_parts_of_matrices_the_masked_system_is_solved(loaded, capsys):
    """Which bfloat16 does no harm, and inverses are not needed for."""
    half = {**config("joint").optimizer, "dtype": "bfloat16"}
    cfg = config("joint", components=["q", "v"])
    cfg.optimizer = half
    with pytest.raises(UserError, match="rounds inverses"):
        weights_of_run(cfg, loaded, CPU)
    cfg.mask.heads = [1]
    weights_of_run(cfg, loaded, CPU)
    assert capsys.readouterr().out.startswith(f"curvature of {2 * tiny.LAYERS} weight matrices: ")
