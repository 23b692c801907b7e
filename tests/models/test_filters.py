import pytest
import tiny_architectures as tiny
import torch

from memunlearn.errors import UserError
from memunlearn.models import Filter, eligible_weights, passing_positions


@pytest.fixture(scope="module")
def weights():
    return eligible_weights(tiny.tiny_model("gpt2"))


def test_no_filter_lets_whole_tensors_pass(weights):
    assert passing_positions(weights, Filter()) == {weight.name: None for weight in weights}


def test_layers_and_components_together(weights):
    passing = passing_positions(weights, Filter(layers=[1], components=["mlp_in", "k"]))
    assert set(passing) == {"transformer.h.1.mlp.c_fc.weight", "transformer.h.1.attn.c_attn.weight"}
    assert passing["transformer.h.1.mlp.c_fc.weight"] is None
    table = torch.arange(tiny.D * 3 * tiny.D).view(tiny.D, 3 * tiny.D)  # Conv1D: [in, q | k | v]
    assert torch.equal(passing["transformer.h.1.attn.c_attn.weight"], table[:, tiny.D : 2 * tiny.D].flatten())


def test_a_head_filter_leaves_mlps_out(weights):
    passing = passing_positions(weights, Filter(heads=[2]))
    assert all("attn" in name for name in passing)
    table = torch.arange(tiny.D * tiny.D).view(tiny.D, tiny.D)
    rows = slice(2 * tiny.HEAD_SIZE, 3 * tiny.HEAD_SIZE)
    assert torch.equal(passing["transformer.h.0.attn.c_proj.weight"], table[rows].flatten())


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_components_part_the_weights(family):
    weights = eligible_weights(tiny.tiny_model(family))
    sizes = {weight.name: weight.size for weight in weights}
    total = 0
    for kind in ("q", "k", "v", "out", "mlp_in", "mlp_out"):
        for name, flat in passing_positions(weights, Filter(components=[kind])).items():
            assert flat is None or bool((flat.diff() > 0).all())
            total += sizes[name] if flat is None else len(flat)
    assert total == sum(sizes.values())


@pytest.mark.parametrize(
    ("filter", "says"),
    [
        (Filter(layers=[0, 7]), "layers: 7 does not exist.*0, 1"),
        (Filter(layers=[-1]), "layers: -1"),
        (Filter(components=["mlp"]), "components: mlp does not exist.*mlp_in, mlp_out"),
        (Filter(heads=[4]), "heads: 4 does not exist.*0, 1, 2, 3"),
        (Filter(components=["mlp_in"], heads=[0]), "leave no weight.*leaves MLPs out"),
        (Filter(components="mlp_in"), "components=mlp_in is not a list"),
        (Filter(layers=3), "layers=3 is not a list"),
        (Filter(layers=[]), "is not a list"),
        (Filter(layers=["0"]), "layers: 0 does not exist"),
    ],
)
def test_what_does_not_exist_is_named(weights, filter, says):
    with pytest.raises(UserError, match=says):
        passing_positions(weights, filter)
