"""How far Kronecker factors are from the curvature that they stand for, on the demo: `python -m benchmarks.curvature_error`.

Of each weight the exact block is F = sum over rows of g g' / (rows x scored positions), g the gradient of a row's summed NLL of
labels drawn from the model, as one vector. The error is ||F - F'|| / ||F|| (Frobenius), F' what K-FAC or EK-FAC takes for it,
from the same rows and labels. No matrix of that size is made: ||F||^2 is the sum of squared products of two rows' gradients.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping

import torch
from torch import Tensor

import memunlearn as mu
from memunlearn.curvature.factors import Curvature, EigenFactors, Factors
from memunlearn.curvature.passes import passes
from memunlearn.models.components import WeightTensor, eligible_weights, output_axis
from memunlearn.models.sparse_delta import owner_of


def row_gradients(model: torch.nn.Module, weight: WeightTensor, rows: mu.ParagraphSet, how: mu.Reading) -> Tensor:
    """[N, *shape of the weight]: of each row's summed NLL of the labels that `how` draws."""
    found = []
    for read in passes(model, [weight.name], rows, how, f"gradients of {weight.name}"):  # type: ignore[arg-type]
        gradients = torch.einsum("bto,bti->boi", read.gradients[weight.name], read.inputs[weight.name].float())
        transposed = output_axis(owner_of(model, weight.name)[0]) == 1
        found.append(gradients.transpose(1, 2) if transposed else gradients)
    return torch.cat(found)


def relative_error(gradients: Tensor, factors: Factors | EigenFactors, scored: int) -> float:
    """||F - F'|| / ||F||. gradients: [N, *shape of the weight], of a row each; scored: positions of a row with a label."""
    share = len(gradients) * scored
    flat = gradients.flatten(1).double()
    exact = (flat @ flat.T).square().sum() / share**2
    between = sum(float((g * factors.times(g)).sum()) for g in gradients) / share
    if isinstance(factors, EigenFactors):
        approximate = sum(float(block.values.double().square().sum()) for block in factors.blocks)
    else:
        outputs = sum(float(block.gradients.double().square().sum()) for block in factors.blocks)
        approximate = outputs * float(factors.inputs.double().square().sum())
    return math.sqrt(max(0.0, float(exact) - 2 * between + approximate) / float(exact))


def errors(
    model: torch.nn.Module, weights: list[WeightTensor], rows: mu.ParagraphSet, how: mu.Reading
) -> Mapping[str, tuple[float, float]]:
    """(K-FAC's, EK-FAC's) by the weight's name."""
    measured: list[Curvature] = [
        mu.measure_curvature(model, weights, rows, how, eigenvalues=eigenvalues)  # type: ignore[arg-type]
        for eigenvalues in (False, True)
    ]
    found = {}
    for weight in weights:
        gradients = row_gradients(model, weight, rows, how)
        kfac, ekfac = (relative_error(gradients, known.factors[weight.name], known.scored) for known in measured)
        found[weight.name] = (kfac, ekfac)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument("--seed", type=int, default=0, help="of the split into sets, and of the labels")
    seed = arguments.parse_args().seed
    demo = mu.Demo()
    model, corpus = mu.DemoModelSource(demo).load().model, mu.DemoSource(demo).load().corpus
    assert corpus is not None
    sets = mu.split_by_em(corpus, mu.score(model, corpus).em, seed=seed, caps=mu.Caps())
    weights = eligible_weights(model)
    print(f"demo, seed {seed}: {len(sets.retain_train)} rows of retain_train, relative Frobenius error of each weight's block")
    print("positions     weights  K-FAC (least to most)    EK-FAC (least to most)")
    for positions in ("all", "continuation"):
        found = errors(model, weights, sets.retain_train, mu.Reading(positions, seed=seed))
        for kind in ("q", "k", "v", "out", "mlp_in", "mlp_out"):
            of_kind = [found[weight.name] for weight in weights if weight.kind_names == (kind,)]
            shown = [f"{min(x):.2f} to {max(x):.2f}" for x in zip(*of_kind, strict=True)]
            print(f"{positions:13} {kind:8} {shown[0]:24} {shown[1]}")


if __name__ == "__main__":
    main()
