"""The budget from shapes alone is what is really held; the 2.7B size fits an 80 GB card."""

import gc

import pytest
import tiny_architectures as tiny
import torch
from naive_curvature import rows_of
from transformers import AutoModelForCausalLM, GPTNeoConfig

from memunlearn.curvature import measure
from memunlearn.curvature.budget import budget_of, check_budget, memory_of
from memunlearn.curvature.damping import damp
from memunlearn.curvature.factors import EigenFactors, moved
from memunlearn.curvature.measure import measure_curvature, with_inputs_of
from memunlearn.curvature.solving import Division, whole_solvers
from memunlearn.errors import UserError
from memunlearn.models import eligible_weights
from memunlearn.unlearning.kfac import Kfac


def held(tensors):
    """Bytes, a shared tensor once."""
    return sum({id(t): t.numel() * t.element_size() for t in tensors}.values())


def tensors_of(factors):
    for known in factors.values():
        yield known.inputs
        for block in known.blocks:
            yield from (block.outputs, block.values) if isinstance(known, EigenFactors) else (block.gradients,)


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("eigenvalues", [False, True])
def test_it_is_what_is_held(family, eigenvalues):
    model = tiny.tiny_model(family)
    weights = eligible_weights(model)
    factors = measure_curvature(model, weights, rows_of(), eigenvalues=eigenvalues).factors
    budget = budget_of(model, weights, eigenvalues=eigenvalues)
    values = sum(b.values.numel() for f in factors.values() for b in f.blocks) if eigenvalues else 0
    assert budget.factors == held(tensors_of(factors)) - 4 * values
    assert budget.kept == held(tensors_of(factors))
    solvers = whole_solvers(damp(factors, 0.1), torch.bfloat16)
    if not eigenvalues:
        inverses = [t for s in solvers.values() for t in (s.inputs, *s.blocks)]
        assert budget_of(model, weights, dtype=torch.bfloat16).kept == held(inverses)
        kept = moved(factors, None, torch.bfloat16)
        assert budget_of(model, weights, dtype=torch.bfloat16, share=0.1).kept == held(tensors_of(kept))
    else:
        assert all(isinstance(solver, Division) for solver in solvers.values())
    assert budget.model == sum(p.numel() * 4 for p in model.parameters())


def test_filters_and_masks_take_less():
    model = tiny.tiny_model("gpt_neo")
    weights = eligible_weights(model)
    whole = budget_of(model, weights)
    mlp = budget_of(model, [w for w in weights if w.kind_names[0].startswith("mlp")], all_weights=weights)
    assert mlp.factors < whole.factors and mlp.weights == whole.weights // 3
    some = budget_of(model, weights, share=0.01)
    assert some.training < 0.1 * whole.training and some.kept == whole.kept
    assert budget_of(model, weights, share=0.01, projection=True).kept == 2 * whole.kept
    away = budget_of(model, weights, elsewhere=True)
    assert away.peak < whole.peak and "elsewhere" in str(away)


@pytest.fixture(scope="module")
def large():
    """GPT-Neo of the 2.7B size, without a single number."""
    config = GPTNeoConfig(
        hidden_size=2560, num_layers=32, num_heads=20, intermediate_size=10240, attention_types=[[["global", "local"], 16]]
    )
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def test_the_largest_size_fits_one_card_in_bfloat16(large):
    weights, card = eligible_weights(large), torch.device("cuda")
    plain, half = (
        Kfac(dtype=dtype, damping=0.1).budget(large, weights, weights, 1.0, card) for dtype in ("float32", "bfloat16")
    )
    assert half.model == pytest.approx(10.6e9, rel=0.01)
    # A of q, k, v once, of out and of MLP in: three [2560, 2560]; of MLP out [10240, 10240]; G of q, k, v, out, MLP out, MLP in
    assert plain.factors == 4 * 32 * (8 * 2560**2 + 2 * 10240**2)
    assert half.kept == plain.factors // 2 and half.peak < 65e9
    check_budget(half, 80 * 10**9, card)
    with pytest.raises(UserError, match=r"optimizer=kfac needs 7\d GB on cuda, which has 60 GB: set optimizer.dtype=bfloat16"):
        check_budget(plain, 60 * 10**9, card)
    sparse = Kfac(dtype="bfloat16").budget(large, weights, weights, 0.001, card)
    assert sparse.peak < 46e9
    assert Kfac(device="cpu").budget(large, weights, weights, 1.0, card).peak < 46e9


def test_memory_of_this_machine():
    assert 1e8 < memory_of(torch.device("cpu")) < 1e14


def test_it_is_said_in_words():
    model = tiny.tiny_model("gpt_neo")
    budget = budget_of(model, eligible_weights(model))
    assert str(budget).startswith(f"curvature of {6 * tiny.LAYERS} weight matrices: 0.00 GB of factors, 0.00 GB kept while")


def test_factors_that_are_inverted_again_for_every_trial_stay():
    model = tiny.tiny_model("gpt_neo")
    weights = eligible_weights(model)
    once, again = (budget_of(model, weights, again=again) for again in (False, True))
    assert again.peak == once.model + once.training + 2 * once.factors > once.peak
    for same in ({"share": 0.1}, {"eigenvalues": True}):  # solved with the factors themselves
        assert budget_of(model, weights, again=True, **same).peak == budget_of(model, weights, **same).peak
    solved_apart = budget_of(model, weights, again=True, share=0.1, own_inputs=True)
    factors = measure_curvature(model, weights, rows_of()).factors
    mixed = with_inputs_of(model, dict(factors), rows_of(seed=5), 3.0)
    both = held([*tensors_of(factors), *tensors_of(mixed)])
    assert solved_apart.staying == both - held(tensors_of(factors)) > 0
    assert (
        budget_of(model, weights, again=True, elsewhere=True, eigenvalues=True).staying
        == budget_of(model, weights, eigenvalues=True).kept
    )


@pytest.mark.parametrize("eigenvalues", [False, True])
def test_it_is_what_is_there_while_it_is_measured(eigenvalues, monkeypatch):
    model = tiny.tiny_model("gpt_neo")
    weights = eligible_weights(model)
    sizes = {(n, n) for weight in weights for n in weight.shape}
    shapes = sizes | {weight.shape for weight in weights} | {weight.shape[::-1] for weight in weights}
    there, passes = [], measure.passes

    def of_these_shapes():
        tensors = [t for t in gc.get_objects() if isinstance(t, torch.Tensor) and not t.is_nested]
        found = [t for t in tensors if tuple(t.shape) in shapes]
        return {t.untyped_storage().data_ptr(): t for t in found if t.dtype == torch.float32 and not t.requires_grad}

    model.requires_grad_(False)
    before = of_these_shapes()

    def watched(*asked):
        for read in passes(*asked):
            yield read
            there.append(held(t for place, t in of_these_shapes().items() if place not in before))

    monkeypatch.setattr(measure, "passes", watched)
    measure.measure_curvature(model, weights, rows_of(), eigenvalues=eigenvalues)
    assert max(there) == budget_of(model, weights, eigenvalues=eigenvalues).measured
