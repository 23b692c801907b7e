"""A step's material made by hand."""

import torch

from memunlearn.objectives.material import Side, StepMaterial


def side_of(logits, labels, base_logits=None, hidden=None, base_hidden=None, protected=0):
    """The last `protected` rows are protected ones. What is None was not asked for."""
    rows = torch.arange(len(logits))
    return Side(
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
