"""What is known of the base model arrives whole, and with the model that is there."""

import dataclasses
import sys

import pytest
import torch

from memunlearn.commands.several.handing import hand_over, received
from memunlearn.objectives.demote import Demote
from memunlearn.objectives.rmu import RMU
from memunlearn.unlearning.preparation import prepare


def same(found, expected):
    if dataclasses.is_dataclass(expected):
        for field in dataclasses.fields(expected):
            if field.name not in ("head", "directory"):
                same(getattr(found, field.name), getattr(expected, field.name))
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for name in expected:
            same(found[name], expected[name])
    elif isinstance(expected, torch.Tensor):
        assert found.equal(expected)
    else:
        assert found == expected


def test_a_preparation_arrives_whole_without_the_model(half_trained, sets, tmp_path):
    for needs in (Demote.needs, RMU().needs):
        preparation = prepare(half_trained, sets, needs=needs, batch_size=4, directory=tmp_path)
        path = tmp_path / "preparation.pt"
        hand_over(preparation, path)
        arrived = received(path, half_trained, tmp_path / "own")
        same(arrived, preparation)
        assert arrived.directory == tmp_path / "own"
        states = [known.states for known in arrived.baselines.values()] + list(arrived.states.values())
        assert all(one.head.product is half_trained.get_output_embeddings() for one in states)
        rows = torch.tensor([1, 0])
        known, expected = (one.baselines["retain_val"].states.logits(rows) for one in (arrived, preparation))
        assert known.equal(expected)


def test_the_weights_do_not_travel(half_trained, sets, tmp_path):
    preparation = prepare(half_trained, sets, batch_size=4, directory=tmp_path)
    hand_over(preparation, tmp_path / "preparation.pt")
    kept = torch.load(tmp_path / "preparation.pt", weights_only=False)
    assert all(not list(known.states.head.product.parameters()) for known in kept.baselines.values())


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_large_tensors_stay_in_the_file(half_trained, sets, tmp_path):
    """So that all processes of a machine share their memory."""
    preparation = prepare(half_trained, sets, batch_size=4, directory=tmp_path)
    path = tmp_path / "preparation.pt"
    hand_over(preparation, path)
    arrived = received(path, half_trained, tmp_path)
    with open("/proc/self/maps") as maps:
        assert str(path) in maps.read()
    assert len(arrived.loss_rows) == len(sets.forget)
