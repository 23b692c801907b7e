"""Noise hits exactly the chosen weights (docs/published_code.md, point 11), and leaves nothing behind."""

import copy

import numpy as np
import pytest
import tiny_architectures as tiny
import torch

from memunlearn.errors import UserError
from memunlearn.localization.weight_noise import noise, weight_noise, weight_spread
from memunlearn.masks import select_all, select_random
from memunlearn.models import Filter, eligible_weights, is_attached
from memunlearn.models.sparse_delta import owner_of
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.score import score

P, C, ROWS = 4, 8, 5
H, S, D = tiny.HEADS, tiny.HEAD_SIZE, tiny.D
PARAGRAPHS = ParagraphSet(tiny.some_ids(3, ROWS, P + C), P, tuple(f"row {i}" for i in range(ROWS)))


@pytest.fixture(params=tiny.FAMILIES)
def family(request):
    return request.param


def effective(model):
    """Every parameter of the model as its forward pass sees it."""
    found = {}
    for name in sorted({n.replace("parametrizations.", "").removesuffix(".original") for n, _ in model.named_parameters()}):
        if not name.endswith(".0.delta"):
            module, attribute = owner_of(model, name)
            found[name] = getattr(module, attribute).detach().clone()
    return found


def head_by_hand(family, head):
    """{name: boolean mask} of what belongs to a head in every layer, from what is known about each layout."""
    model = tiny.tiny_model(family)
    masks = {name: torch.zeros(parameter.shape, dtype=torch.bool) for name, parameter in model.named_parameters()}
    part = slice(head * S, (head + 1) * S)
    for layer in range(tiny.LAYERS):
        if family == "gpt_neo":
            h = f"transformer.h.{layer}.attn.attention."
            for kind in "qkv":
                masks[f"{h}{kind}_proj.weight"][part] = True
            masks[f"{h}out_proj.weight"][:, part] = True
        elif family == "gpt2":
            h = f"transformer.h.{layer}.attn."
            for i in range(3):
                masks[f"{h}c_attn.weight"][:, i * D + head * S : i * D + (head + 1) * S] = True
            masks[f"{h}c_proj.weight"][part] = True
        elif family == "gpt_neox":
            h = f"gpt_neox.layers.{layer}.attention."
            masks[f"{h}query_key_value.weight"][3 * head * S : 3 * (head + 1) * S] = True
            masks[f"{h}dense.weight"][:, part] = True
        else:
            h = f"model.layers.{layer}.self_attn."
            masks[f"{h}q_proj.weight"][part] = True
            masks[f"{h}o_proj.weight"][:, part] = True
            for kind in "kv" if head < 2 else "":  # there are two kv heads
                masks[f"{h}{kind}_proj.weight"][part] = True
    return masks


@pytest.mark.parametrize("head", [0, 2])
def test_noise_on_a_head_changes_exactly_that_head(family, head):
    model = tiny.tiny_model(family)
    base = effective(model)
    indices = select_all(eligible_weights(model), Filter(heads=[head])).indices
    with noise(model, indices, 0.3, seed=1):
        noisy = effective(model)
    expected = head_by_hand(family, head)
    assert noisy.keys() == base.keys() == expected.keys()
    for name, mask in expected.items():
        assert torch.equal(noisy[name] != base[name], mask), name


def test_noise_on_chosen_weights_of_a_head_stays_within_it(family):
    model = tiny.tiny_model(family)
    base = effective(model)
    mask = select_random(eligible_weights(model), 0.1, Filter(heads=[2]), seed=4)
    with noise(model, mask.indices, 0.3, seed=1):
        noisy = effective(model)
    changed = {name: noisy[name] != base[name] for name in base}
    assert sum(int(one.sum()) for one in changed.values()) == mask.k
    for name, positions in mask.indices.items():
        assert changed[name].flatten().nonzero().flatten().tolist() == positions.tolist()
    assert not any((changed[name] & ~inside).any() for name, inside in head_by_hand(family, 2).items())


def test_noise_is_gaussian_of_the_deviation_and_a_multiple_at_another():
    model = tiny.tiny_model("gpt2")
    weights = eligible_weights(model)
    base, indices = effective(model), select_all(weights).indices

    def drawn(deviation, seed):
        with noise(model, indices, deviation, seed):
            noisy = effective(model)
        return torch.cat([(noisy[name] - base[name]).flatten() for name in indices]).double()

    small = drawn(0.5, 1)
    assert float(small.std()) == pytest.approx(0.5, rel=0.02) and abs(float(small.mean())) < 0.02
    assert abs(float((small / 0.5).pow(4).mean()) - 3) < 0.3
    torch.testing.assert_close(drawn(2.0, 1), 4 * small, atol=1e-5, rtol=1e-5)
    other = drawn(0.5, 2)
    assert abs(float(torch.corrcoef(torch.stack([small, other]))[0, 1])) < 0.05


def test_the_model_is_back_bit_for_bit_even_after_an_error(family):
    model = tiny.tiny_model(family)
    model.get_input_embeddings().weight.requires_grad_(False)
    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    state, indices = copy.deepcopy(model.state_dict()), tiny.some_indices(model)

    def assert_as_it_was():
        assert not is_attached(model)
        assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == flags
        now = model.state_dict()
        assert now.keys() == state.keys()
        assert all(torch.equal(now[name].view(torch.uint8), state[name].view(torch.uint8)) for name in state)

    weight_noise(model, {"some": [indices]}, PARAGRAPHS, 0.1, [1.0, 5.0], [0])
    assert_as_it_was()
    with pytest.raises(RuntimeError, match="stop"), noise(model, indices, 0.5, seed=0):
        raise RuntimeError("stop")
    assert_as_it_was()
    beyond = ParagraphSet(torch.full((1, P + C), tiny.VOCABULARY), P, ("x",))
    with pytest.raises(UserError, match="beyond the model's vocabulary"):
        weight_noise(model, {"some": [indices]}, beyond, 0.1, [1.0], [0])
    assert_as_it_was()
    with pytest.raises(UserError, match="no weight is chosen"), noise(model, {}, 0.5, seed=0):
        pass
    assert_as_it_was()


def test_scores_are_those_of_a_model_changed_by_hand(family):
    model = tiny.tiny_model(family)
    weights = eligible_weights(model)
    choices = {
        "one": [tiny.some_indices(model)] * 2,
        "drawn": [select_random(weights, 0.05, seed=seed).indices for seed in (7, 8)],
    }
    result = weight_noise(model, choices, PARAGRAPHS, 0.05, [1.0, 6.0], [3, 4], batch_size=2)
    assert result["em"].shape == result["nll"].shape == (2, 2, 2, ROWS)
    for c, masks in enumerate(choices.values()):
        for s, scale in enumerate((1.0, 6.0)):
            for r, seed in enumerate((3, 4)):
                with noise(model, masks[r], scale * 0.05, seed):
                    values = effective(model)
                changed = copy.deepcopy(model)
                changed.load_state_dict(values, strict=False)
                expected = score(changed, PARAGRAPHS)
                torch.testing.assert_close(result["nll"][c, s, r], expected.nll.double(), atol=1e-5, rtol=1e-5)
                assert torch.equal(result["em"][c, s, r], expected.em.double())
    assert (result["nll"][:, 1] - result["nll"][:, 0]).abs().min() > 0


def test_spread_is_that_of_all_weights_together(family):
    model = tiny.tiny_model(family)
    weights = eligible_weights(model)
    together = np.concatenate([model.get_parameter(weight.name).detach().numpy().ravel() for weight in weights])
    assert weight_spread(model, weights) == pytest.approx(together.astype(np.float64).std(), rel=1e-6)
