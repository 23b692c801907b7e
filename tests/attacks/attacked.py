"""What an attack is given in these tests, and what it must leave as it was."""

from __future__ import annotations

import contextlib

import torch

from memunlearn.attacks.material import Subject, Target
from memunlearn.models import eligible_weights


def target_of(model, forget, clusters, others=None, **more):
    """A target without base and patch, in small batches."""
    given = {"base": None, "patch": None, "tokenizer": None, "batch_size": 3, "seed": 0}
    others = forget.select([]) if others is None else others
    return Target(forget=forget, clusters=clusters, others=others, weights=eligible_weights(model), **(given | more))


def attack(made, model, target, name="unlearned"):
    """The attempts of an attack; checks that model and random numbers are as before, and that attempts fit the rows."""
    with unchanged(model):
        attempts = made(Subject(name, model), target)
    for attempt in attempts:
        assert len(attempt.rows) == len(attempt.em) == len(attempt.longest_run) == len(attempt.nll)
        assert attempt.rows.dtype == attempt.em.dtype == attempt.longest_run.dtype == torch.int64
        assert attempt.nll.dtype == torch.float32
    return attempts


@contextlib.contextmanager
def unchanged(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    settings, state = model.generation_config, torch.get_rng_state()
    yield
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(value, after[name]) for name, value in before.items())
    assert model.generation_config is settings and not model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
