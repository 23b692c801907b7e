"""A step's material made by hand, and what an objective makes of it held against loops."""

import torch
from test_losses import some_labels, some_logits

from memunlearn.objectives.material import Side, StepMaterial

WITHIN = {torch.float64: 1e-9, torch.float32: 2e-5, torch.bfloat16: 2e-2}


def side_of(logits, labels, base_logits=None, hidden=None, base_hidden=None, protected=0):
    """The last `protected` rows are protected ones. What is None was not asked for."""
    rows = torch.arange(len(logits))
    return Side.of_logits(
        rows=rows,
        labels=labels,
        logits=logits,
        protected=rows >= len(logits) - protected,
        hidden_states=hidden,
        read_base_logits=None if base_logits is None else lambda: base_logits,
        read_base_hidden=None if base_hidden is None else lambda: base_hidden,
    )


def step_of(forget, labels, retain, reference, **others):
    """Logits and labels of forget rows, logits of retain rows and the base model's; others: of the forget side."""
    retain_labels = torch.zeros(retain.shape[:2], dtype=torch.int64)
    return StepMaterial(forget=side_of(forget, labels, **others), retain=side_of(retain, retain_labels, reference), deltas={})


def some_side(shape, dtype, seed, base=True):
    """Random rows [B, C, V]; base: with the base model's logits."""
    reference = some_logits(shape, dtype, seed + 1).detach() if base else None
    return side_of(some_logits(shape, dtype, seed), some_labels(shape, seed + 2), reference)


def check_terms(losses, expected, logits, dtype):
    """The four scalars are as expected (in double precision), and the total's gradient with respect to each of the logits.

    logits of which the expected total does not depend have no gradient.
    """
    values = (losses.forget_term, losses.retain_term, losses.forget_nll, losses.retain_kl)
    within = WITHIN[torch.float64 if dtype == torch.float64 else torch.float32]
    for value, wanted in zip(values, expected, strict=True):
        assert value.shape == () and value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        torch.testing.assert_close(value.double(), torch.as_tensor(wanted).double(), rtol=within, atol=within)
    gradients = torch.autograd.grad(losses.total, logits, allow_unused=True)
    wanted = torch.autograd.grad(sum(expected[:2]), logits, allow_unused=True)
    for gradient, reference in zip(gradients, wanted, strict=True):
        if reference is None:
            assert gradient is None
            continue
        assert float(reference.abs().sum()) > 0
        largest = float(reference.abs().max())
        torch.testing.assert_close(gradient, reference, rtol=WITHIN[dtype], atol=WITHIN[dtype] * largest)
