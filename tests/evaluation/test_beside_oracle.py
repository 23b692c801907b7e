"""Base, unlearned model and oracle side by side, against loops over rows and tokens."""

import copy

import naive_scoring as naive
import pytest
import torch

from memunlearn.evaluation.oracle import Told, beside_oracle, kl_between
from memunlearn.paragraphs.paragraph_set import concatenate
from memunlearn.scoring.score import reference_states
from memunlearn.statistics.ks import ks_distance

P, C = 7, 9


@pytest.fixture
def rows(sets):
    return concatenate([sets.forget, sets.bystander, sets.retain])


@pytest.fixture
def members(sets):
    """[N] bool by set."""
    names = [name for name in ("forget", "bystander", "retain") for _ in range(len(getattr(sets, name)))]
    return {name: torch.tensor([one == name for one in names]) for name in ("forget", "bystander", "retain")}


@pytest.fixture
def models(reciting, half_trained):
    """The base recites; the oracle is early in its training, and another one a little further from it."""
    unlearned, second = copy.deepcopy(reciting), copy.deepcopy(half_trained)
    generator = torch.Generator().manual_seed(0)
    for model, scale in ((unlearned, 0.05), (second, 0.01)):
        for parameter in model.parameters():
            parameter.data += scale * torch.randn(parameter.shape, generator=generator)
    return {"base": reciting, "unlearned": unlearned, "oracle": half_trained, "second_oracle": second}


@pytest.fixture
def told(models, rows):
    return {name: Told(*reference_states(model, rows, 4)) for name, model in models.items()}


def test_kl_is_of_the_oracles_distribution_to_the_models(models, rows, told):
    found = kl_between(told["oracle"].states, told["unlearned"].states, batch_size=5)
    for row, ids in enumerate(rows.ids):
        expected = naive.token_kl(models["oracle"], models["unlearned"], ids, P)
        assert float(found[row]) == pytest.approx(sum(expected) / C, rel=1e-3)
    assert float(kl_between(told["oracle"].states, told["oracle"].states, batch_size=5).abs().max()) < 1e-6
    nothing = told["oracle"].states.select(torch.empty(0, dtype=torch.int64))
    assert len(kl_between(nothing, nothing, batch_size=5)) == 0


def test_every_model_stands_beside_the_oracle(told, members):
    clusters = torch.arange(len(members["forget"]))
    found = beside_oracle(told, members, clusters, batch_size=4)
    for name, one in told.items():
        for of_set in ("forget", "bystander"):
            stats, scores = found["models"][name][of_set], one.scores.select(members[of_set])
            assert stats["em"] == pytest.approx(float(scores.em.double().mean())) and stats["n"] == len(scores)
            assert stats["longest_run"] == pytest.approx(float(scores.longest_run.double().mean()))
            assert stats["nll"] == pytest.approx(float(scores.nll.double().mean()))
            assert "kl" not in stats  # which would be of each model with itself
    assert set(found["kl"]) == set(found["nll_distance"]) == {"base", "unlearned", "second_oracle"}
    for name, of_sets in found["kl"].items():
        for of_set, numbers in of_sets.items():
            values = kl_between(told["oracle"].states, told[name].states, 4)[members[of_set]]
            assert numbers["mean"] == pytest.approx(float(values.double().mean())) and numbers["n"] == len(values)
    forget = members["forget"]
    expected = ks_distance(told["base"].scores.nll[forget], told["oracle"].scores.nll[forget], clusters[forget])
    assert found["nll_distance"]["base"] == expected.numbers()
    assert "equal" not in str(found)


def test_without_a_second_oracle_and_without_bystanders(told, members):
    del told["second_oracle"]
    members["bystander"] = torch.zeros_like(members["bystander"])
    found = beside_oracle(told, members, torch.arange(len(members["forget"])), batch_size=4)
    assert set(found["nll_distance"]) == {"base", "unlearned"} and found["models"]["oracle"]["bystander"] is None
    assert len(found["notes"]) == 2 and "whether the oracle recites other memorized text is not known" in found["notes"][0]


def test_an_oracle_that_does_not_recite_the_bystanders_is_said_to(told, members):
    clusters = torch.arange(len(members["forget"]))
    told["second_oracle"] = told["base"]  # which recites them
    notes = beside_oracle(told, members, clusters, batch_size=4)["notes"]
    weak = [note for note in notes if "recites other memorized text less" in note]
    assert len(weak) == 1 and weak[0].startswith("the oracle ") and "8.82 of 9" in weak[0]
    told["oracle"] = told["base"]
    assert len(beside_oracle(told, members, clusters, batch_size=4)["notes"]) == 1
