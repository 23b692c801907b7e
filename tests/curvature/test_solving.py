"""Solvers against dense linear algebra on the whole damped matrix, in every layout of a weight."""

from dataclasses import replace

import pytest
import torch

from memunlearn.curvature.damping import LEAST, DampedEigenFactors, damp
from memunlearn.curvature.factors import Block, EigenBlock, EigenFactors, Factors, in_eigenbasis, moved
from memunlearn.curvature.solving import ConjugateGradients, Projection, inverse, whole_solvers

SHAPES = [((3, 2), 4, 0), ((5,), 3, 0), ((2, 2, 3), 5, 1), ((1,), 1, 0)]  # (sizes of the blocks, inputs, output axis)
DAMPING = 0.05


def spd(size, seed):
    values = torch.randn(size, size + 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (values @ values.T / size).float()


def factors_of(sizes, inputs, axis, seed=0):
    features = torch.randperm(sum(sizes), generator=torch.Generator().manual_seed(seed)).split(list(sizes))
    blocks = tuple(Block(f.sort().values, spd(len(f), seed + 1 + i)) for i, f in enumerate(features))
    return Factors(spd(inputs, seed + 9), blocks, axis)


def eigen_of(sizes, inputs, axis, seed=0):
    """Eigenvalues that are no products."""
    basis = in_eigenbasis({"w": factors_of(sizes, inputs, axis, seed)})["w"]
    generator = torch.Generator().manual_seed(seed)
    blocks = tuple(
        EigenBlock(b.features, b.outputs, torch.rand(b.values.shape, generator=generator) + 0.01) for b in basis.blocks
    )
    return replace(basis, blocks=blocks)


KINDS = [factors_of, eigen_of]


def shape_of(factors):
    shape = (sum(len(block.features) for block in factors.blocks), len(factors.inputs))
    return shape if factors.output_axis == 0 else shape[::-1]


def dense(linear, shape):
    """The matrix of a linear map of weights, in fp64."""
    units = torch.eye(shape[0] * shape[1]).view(-1, *shape)
    return torch.stack([linear(unit).flatten() for unit in units]).T.double()


def gradient_of(shape, seed=3):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def naive_damped(factors, damping):
    """Of K-FAC, by Kronecker products of the damped factors; of EK-FAC, by adding to the diagonal."""
    rows, columns = sum(len(block.features) for block in factors.blocks), len(factors.inputs)
    whole = torch.zeros(rows, columns, rows, columns, dtype=torch.float64)
    for block in factors.blocks:
        if isinstance(factors, EigenFactors):
            vectors = torch.kron(block.outputs, factors.inputs).double()
            eigenvalues = block.values.flatten().double()
            values = vectors @ (eigenvalues + damping * eigenvalues.mean()).diag() @ vectors.T
        else:
            parts = [block.gradients.double(), factors.inputs.double()]
            damped = [part + damping * part.diagonal().mean() * torch.eye(len(part)) for part in parts]
            values = torch.kron(*damped)
        o = len(block.features)
        spread = values.view(o, columns, o, columns)
        for i, row in enumerate(block.features):
            for j, other in enumerate(block.features):
                whole[row, :, other, :] = spread[i, :, j, :]
    matrix = whole.view(rows * columns, rows * columns)
    if factors.output_axis == 0:
        return matrix
    order = torch.arange(rows * columns).view(rows, columns).T.flatten()
    return matrix[order][:, order]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("layout", SHAPES)
def test_times_is_the_damped_matrix(make, layout):
    factors = make(*layout)
    [damped] = damp({"w": factors}, DAMPING).values()
    naive = naive_damped(factors, DAMPING)
    torch.testing.assert_close(dense(damped.times, shape_of(factors)), naive, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(damped.diagonal().flatten().double(), naive.diagonal(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("layout", SHAPES)
def test_the_whole_weights_step_is_the_solution(make, layout):
    factors = make(*layout)
    gradient = gradient_of(shape_of(factors))
    naive = torch.linalg.solve(naive_damped(factors, DAMPING), gradient.flatten().double())
    [solver] = whole_solvers(damp({"w": factors}, DAMPING)).values()
    change, kl = solver(gradient)
    torch.testing.assert_close(change.flatten().double(), naive, rtol=1e-3, atol=1e-4)
    undamped = dense(factors.times, shape_of(factors))
    assert float(kl) == pytest.approx(float(naive @ undamped @ naive) / 2, rel=2e-3)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("layout", SHAPES[:3])
def test_conjugate_gradients_solve_the_masked_system(make, layout):
    factors = make(*layout)
    shape = shape_of(factors)
    size = shape[0] * shape[1]
    chosen = torch.randperm(size, generator=torch.Generator().manual_seed(5))[: size // 2].sort().values
    gradient = gradient_of((len(chosen),))
    naive = torch.linalg.solve(naive_damped(factors, DAMPING)[chosen][:, chosen], gradient.double())
    [damped] = damp({"w": factors}, DAMPING).values()
    change, kl = ConjugateGradients.of(damped, chosen, shape, iterations=60, tolerance=1e-6)(gradient)
    torch.testing.assert_close(change.double(), naive, rtol=1e-3, atol=1e-4)
    undamped = dense(factors.times, shape)[chosen][:, chosen]
    assert float(kl) == pytest.approx(float(naive @ undamped @ naive) / 2, rel=2e-3)


def test_few_iterations_come_near_and_what_has_converged_stays():
    factors = factors_of((6, 5), 7, 0)
    [damped] = damp({"w": factors}, DAMPING).values()
    chosen = torch.arange(0, 77, 2)
    gradient = gradient_of((len(chosen),))
    exact = torch.linalg.solve(naive_damped(factors, DAMPING)[chosen][:, chosen], gradient.double())
    errors = [
        float((ConjugateGradients.of(damped, chosen, (11, 7), n, tolerance=0.0)(gradient)[0] - exact).norm())
        for n in (1, 5, 20, 200)
    ]
    assert errors[0] > errors[1] > errors[2] and errors[3] < 0.01 * errors[0]
    loose, longer = (ConjugateGradients.of(damped, chosen, (11, 7), n, tolerance=0.1)(gradient)[0] for n in (60, 200))
    assert torch.equal(loose, longer)
    change, kl = ConjugateGradients.of(damped, chosen, (11, 7))(torch.zeros(len(chosen)))
    assert not change.any() and float(kl) == 0.0


@pytest.mark.parametrize("make", KINDS)
def test_projection_keeps_the_chosen_ones_of_the_whole_step(make):
    factors = make((3, 2), 4, 1)
    shape, chosen = shape_of(factors), torch.tensor([0, 3, 4, 11, 19])
    gradient = gradient_of((5,))
    [damped] = damp({"w": factors}, DAMPING).values()
    [whole] = whole_solvers(damp({"w": factors}, DAMPING)).values()
    change, kl = Projection(damped, whole, chosen, shape)(gradient)
    spread = torch.zeros(20, dtype=torch.float64)
    spread[chosen] = gradient.double()
    naive = torch.linalg.solve(naive_damped(factors, DAMPING), spread)[chosen]
    torch.testing.assert_close(change.double(), naive, rtol=1e-3, atol=1e-4)
    undamped = dense(factors.times, shape)[chosen][:, chosen]
    assert float(kl) == pytest.approx(float(naive @ undamped @ naive) / 2, rel=2e-3)
    better = ConjugateGradients.of(damped, chosen, shape, tolerance=1e-6)(gradient)[0].double()
    gains = [float(x @ gradient.double()) / float(x @ undamped @ x) ** 0.5 for x in (better, naive)]
    assert gains[0] > gains[1]  # forgets more for its KL


def test_a_mask_of_everything_takes_the_step_of_the_whole_weight():
    factors = factors_of((3, 2), 4, 0)
    [damped] = damp({"w": factors}, DAMPING).values()
    [whole] = whole_solvers(damp({"w": factors}, DAMPING)).values()
    gradient = gradient_of((5, 4))
    some = ConjugateGradients.of(damped, torch.arange(20), (5, 4), tolerance=1e-7)(gradient.flatten())
    for one, other in zip(some, whole(gradient), strict=True):
        torch.testing.assert_close(one.flatten(), other.flatten(), rtol=1e-3, atol=1e-5)


def test_a_weight_without_curvature_can_be_solved_for():
    flat = Factors(torch.zeros(3, 3), (Block(torch.arange(2), torch.zeros(2, 2)),), 0)
    known = factors_of((4,), 3, 0)
    solvers = whole_solvers(damp({"flat": flat, "known": known}, DAMPING))
    change, kl = solvers["flat"](torch.ones(2, 3))
    mean = float(known.inputs.diagonal().mean() * known.blocks[0].gradients.diagonal().mean())
    assert float(kl) == 0.0
    torch.testing.assert_close(change, torch.full((2, 3), 1 / (LEAST * mean)), rtol=1e-3, atol=0.0)


def test_inverses_in_bfloat16_are_near():
    factors = factors_of((6,), 5, 0)
    gradient = gradient_of((6, 5))
    exact, near = (whole_solvers(damp({"w": factors}, 0.1), dtype)["w"] for dtype in (torch.float32, torch.bfloat16))
    assert near.inputs.dtype == torch.bfloat16 and near.blocks[0].dtype == torch.bfloat16
    one, other = exact(gradient), near(gradient)
    assert other[0].dtype == torch.float32
    assert float((one[0] - other[0]).norm() / one[0].norm()) < 0.03
    assert float(one[1]) == pytest.approx(float(other[1]), rel=0.1)


def test_factors_move_with_what_they_share():
    first, shared = factors_of((3,), 4, 0), factors_of((3,), 4, 0)
    shared = Factors(first.inputs, shared.blocks, 0)
    given = {"a": first, "b": shared, "c": eigen_of((2,), 3, 1)}
    kept = moved(given, torch.device("cpu"), torch.bfloat16)
    assert not given, "what is moved is to make room"
    assert kept["a"].inputs is kept["b"].inputs and kept["a"].inputs.dtype == torch.bfloat16
    assert kept["c"].inputs.dtype == torch.float32
    torch.testing.assert_close(kept["a"].times(torch.eye(3, 4)), first.times(torch.eye(3, 4)), rtol=0.05, atol=0.05)


def test_weights_that_share_inputs_share_their_inverse_and_factors_make_room():
    first = factors_of((3,), 4, 0)
    damped = damp({"a": first, "b": Factors(first.inputs, factors_of((2,), 4, 0, seed=4).blocks, 0)}, DAMPING)
    solvers = whole_solvers(damped)
    assert solvers["a"].inputs is solvers["b"].inputs and not damped


def test_inverse():
    factor = spd(6, 0)
    expected = torch.linalg.inv(factor.double() + 0.3 * torch.eye(6))
    torch.testing.assert_close(inverse(factor, torch.tensor(0.3)).double(), expected, rtol=1e-4, atol=1e-5)
    assert isinstance(damp({"w": eigen_of((2,), 3, 0)}, 0.1)["w"], DampedEigenFactors)
