"""Curvature by loops over rows, positions and labels, on a copy of the model whose weights are plain matrices [out, in]."""

import tiny_architectures as tiny
import torch

from memunlearn.models.components import output_axis
from memunlearn.models.sparse_delta import owner_of
from memunlearn.paragraphs.paragraph_set import ParagraphSet

P, C = 3, 4


def rows_of(seed=3, rows=5, prefix=P, continuation=C):
    return ParagraphSet(tiny.some_ids(seed, rows, prefix + continuation), prefix, tuple(f"row {i}" for i in range(rows)))


def positions_of(paragraphs, positions):
    """The positions whose logits have a label."""
    last = paragraphs.ids.shape[1] - 1
    return list(range(paragraphs.prefix_length - 1 if positions == "continuation" else 0, last))


def log_probabilities(model, row):
    """[T, V], differentiable."""
    return model(input_ids=row[:-1].unsqueeze(0)).logits[0].log_softmax(-1)


def drawn_labels(model, paragraphs, positions, seed):
    """By row the label of each position: what the model draws with one generator, a row after the other."""
    generator = torch.Generator().manual_seed(seed)
    where = positions_of(paragraphs, positions)
    with torch.no_grad():
        return [
            torch.multinomial(log_probabilities(model, row)[where].exp(), 1, generator=generator).flatten().tolist()
            for row in paragraphs.ids
        ]


def inputs_and_gradients(model, name, row, weighted):
    """(inputs [T, in], gradients [T, out]) of sum over (position, label, weight) of weight x NLL, for one row."""
    module, seen = owner_of(model, name)[0], {}

    def record(module, inputs, output):
        output.retain_grad()
        seen["inputs"], seen["outputs"] = inputs[0].detach(), output

    handle = module.register_forward_hook(record)
    model.zero_grad()
    log_p = log_probabilities(model, row)
    sum(-weight * log_p[position, label] for position, label, weight in weighted).backward()
    handle.remove()
    # One row: OPT's MLPs see it without the batch.
    return seen["inputs"].flatten(0, -2), seen["outputs"].grad.flatten(0, -2)


def every_label(model, paragraphs, positions):
    """For each row the backward passes that make G exact: each (position, label) alone, times the root of its probability."""
    passes = []
    for row in paragraphs.ids:
        with torch.no_grad():
            p = log_probabilities(model, row).exp()
        where = positions_of(paragraphs, positions)
        passes.append([[(t, v, float(p[t, v]) ** 0.5)] for t in where for v in range(p.shape[1])])
    return passes


def with_labels(paragraphs, positions, labels):
    where = positions_of(paragraphs, positions)
    return [[[(t, v, 1.0) for t, v in zip(where, row, strict=True)]] for row in labels]


def naive_factors(model, name, paragraphs, positions, passes):
    """(A, G of all output features) by loops."""
    a_sum = g_sum = 0.0
    count = 0
    for row, weighteds in zip(paragraphs.ids, passes, strict=True):
        for number, weighted in enumerate(weighteds):
            inputs, gradients = inputs_and_gradients(model, name, row, weighted)
            for t in range(len(inputs)):
                if number == 0:
                    a_sum, count = a_sum + torch.outer(inputs[t], inputs[t]), count + 1
                g_sum = g_sum + torch.outer(gradients[t], gradients[t])
    return a_sum / count, g_sum / (len(paragraphs) * len(positions_of(paragraphs, positions)))


def exact_block(model, name, paragraphs, positions, passes):
    """F [out x in, out x in] of the matrix [out, in], a scored token's share: a row's gradients of all positions together."""
    total = 0.0
    transposed = output_axis(owner_of(model, name)[0]) == 1
    for row, weighteds in zip(paragraphs.ids, passes, strict=True):
        for weighted in weighteds:
            model.zero_grad()
            log_p = log_probabilities(model, row)
            sum(-weight * log_p[position, label] for position, label, weight in weighted).backward()
            gradient = model.get_parameter(name).grad
            flat = (gradient.T if transposed else gradient).flatten()
            total = total + torch.outer(flat, flat)
    return total / (len(paragraphs) * len(positions_of(paragraphs, positions)))
