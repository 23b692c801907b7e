"""The K-FAC edit: loops over entries in the eigenbases of factors that are made row by row."""

import copy

import pytest
import tiny_architectures as tiny
import torch
from patched import holds

from memunlearn.curvature.factors import Block, Factors, in_eigenbasis
from memunlearn.errors import UserError
from memunlearn.masks import AllWeights, TopAttribution
from memunlearn.models import eligible_weights
from memunlearn.unlearning.edits.kfac_edit import KfacEdit, edited, kept_entries
from memunlearn.unlearning.stopping import StopRule


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def naive_kept(values, mass):
    """Entries from the largest on until their sum reaches the share."""
    left = sorted(((float(v), -place) for place, v in enumerate(values.flatten())), reverse=True)
    keep, held, total = torch.zeros(values.numel(), dtype=torch.bool), 0.0, float(values.double().sum())
    for value, place in left:
        if held >= mass * total:
            break
        keep[-place] = True
        held += value
    return keep.view_as(values)


@pytest.mark.parametrize("mass", [0.01, 0.35, 0.6, 0.999])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (7, 11)])
def test_kept_entries(mass, shape):
    values = random(*shape, seed=3).exp().float()
    assert torch.equal(kept_entries(values, mass), naive_kept(values, mass))
    assert 0 < int(kept_entries(values, mass).sum()) <= values.numel()


@pytest.mark.parametrize("transposed", [False, True])
def test_a_matrix_in_two_blocks_is_edited_entry_by_entry(transposed):
    out, inputs, features = 6, 4, [torch.tensor([0, 2, 3]), torch.tensor([1, 4, 5])]
    a, gs = random(30, inputs, seed=1), [random(30, 3, seed=2), random(30, 3, seed=5)]
    A, G = a.T @ a / 30, [g.T @ g / 30 for g in gs]
    blocks = tuple(Block(f, g) for f, g in zip(features, G, strict=True))
    factors = Factors(A, blocks, 1 if transposed else 0)
    weight = random(out, inputs, seed=7)
    after, kept = edited(weight.T if transposed else weight, in_eigenbasis({"w": factors})["w"], 0.6)
    after = after.T if transposed else after
    mu, U = torch.linalg.eigh(A.double())
    expected, count = torch.zeros(out, inputs, dtype=torch.float64), 0
    for places, g in zip(features, G, strict=True):
        lam, V = torch.linalg.eigh(g.double())
        keep = naive_kept(torch.outer(lam, mu), 0.6)
        for i in range(3):
            for j in range(inputs):
                if keep[i, j]:
                    count += 1
                    entry = V[:, i] @ weight[places].double() @ U[:, j]
                    expected[places] += entry * torch.outer(V[:, i], U[:, j])
    torch.testing.assert_close(after.double(), expected, rtol=1e-4, atol=1e-5)
    assert kept == count < out * inputs


@pytest.mark.parametrize("eigenvalues", ["kronecker", "corrected"])
def test_a_run_edits_the_mlps_on_retain_rows_only(reciting, ingredients, preparation, eigenvalues):
    base, asked = copy.deepcopy(reciting), []
    measure = ingredients().measure_curvature

    def recorded(model, weights, paragraphs, *more, **settings):
        asked.append(([weight.name for weight in weights], paragraphs.ids))
        return measure(model, weights, paragraphs, *more, **settings)

    outcome = KfacEdit(eigenvalues=eigenvalues).run(ingredients(measure_curvature=recorded))
    after = holds(outcome, base, reciting, preparation)
    (names, ids), mlps = asked[0], [w.name for w in eligible_weights(base) if {"mlp_in", "mlp_out"} & set(w.kind_names)]
    assert names == mlps and torch.equal(ids, preparation.baselines["retain_train"].paragraphs.ids)
    for name, parameter in base.named_parameters():
        assert torch.equal(after[name], parameter) == (name not in mlps)
    assert outcome.k == outcome.eligible and outcome.steps == 0 and outcome.stopped_because == "max_steps"
    assert f"of {len(mlps)} matrices hold 0.6" in outcome.done


def test_all_but_all_of_the_mass_is_nearly_the_base_model(reciting, ingredients):
    """What hardly any text has a use for goes first."""
    kls = [
        float(KfacEdit(mass=mass).run(ingredients(model=copy.deepcopy(reciting))).sets["retain"].after.scores.kl.mean())
        for mass in (0.9999, 0.9, 0.3)
    ]
    assert kls[0] < kls[1] < kls[2]


def test_the_filter_of_the_mask_chooses_the_matrices(ingredients):
    outcome = KfacEdit().run(ingredients(strategy=TopAttribution(0.3, layers=[1], components=["v"])))
    assert {component for component, count in outcome.per_component.items() if count} == {"1.v"}
    assert outcome.k == tiny.D**2


def test_what_it_refuses(ingredients):
    for settings, says in (
        ({"mass": 1.0}, "protocol.mass=1.0 must be between 0 and 1"),
        ({"eigenvalues": "exact"}, "protocol.eigenvalues=exact is not known: use kronecker or corrected"),
        ({"positions": "prefix"}, "protocol.positions=prefix is not known: use all or continuation"),
    ):
        with pytest.raises(UserError, match=says):
            KfacEdit(**settings)
    with pytest.raises(UserError, match="takes no stop rule: add stop=none"):
        KfacEdit().run(ingredients(stop=StopRule()))
    with pytest.raises(UserError, match="leave only a part of"):
        KfacEdit().run(ingredients(strategy=AllWeights(components=["q"], heads=[1])))
