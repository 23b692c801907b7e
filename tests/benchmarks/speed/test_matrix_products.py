"""The products that are timed by themselves are those of a pass, as PyTorch itself counts them."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.matrix_products import all_products, block_products, flops, forward_products, step_products
from benchmarks.speed.sizes import SIZES, Lengths, random_model, random_rows
from memunlearn.models.components import eligible_weights
from memunlearn.objectives.losses import kl
from memunlearn.scoring.forward import continuation_logits

SIZE, LENGTHS, ROWS = SIZES["tiny"], Lengths(7, 9), 3


def counted(work, within_attention=0):
    """Of products with weights. within_attention: how many times a pass goes through keys and values, forwards or backwards."""
    with FlopCounterMode(display=False) as counter:
        work()
    tokens = LENGTHS.read
    return counter.get_total_flops() - within_attention * SIZE.layers * 2 * (2 * ROWS * tokens * tokens * SIZE.hidden)


def test_forward_products_are_those_of_a_pass():
    model, rows = random_model(SIZE), random_rows(SIZE, LENGTHS, ROWS)
    with torch.no_grad():
        found = counted(lambda: continuation_logits(model, rows.ids, LENGTHS.continuation), 1)
    assert found == flops(forward_products(SIZE, LENGTHS, ROWS))


def test_step_products_are_those_of_a_step_but_one_gradient_that_nothing_reads():
    model, rows = random_model(SIZE), random_rows(SIZE, LENGTHS, ROWS)
    model.requires_grad_(False)
    for weight in eligible_weights(model):
        model.get_parameter(weight.name).requires_grad_()
    head, states = model.get_output_embeddings(), torch.randn(ROWS, LENGTHS.continuation, SIZE.hidden)

    def step():
        kl(head(states), continuation_logits(model, rows.ids, LENGTHS.continuation)).backward()

    # Of the first layer's q, k and v: what they are given is not trained, and has no gradient.
    unread = 3 * block_products(SIZE, LENGTHS, ROWS)[0].flops // (4 * SIZE.layers)
    assert counted(step, 3) == flops(step_products(SIZE, LENGTHS, ROWS)) - unread


def test_all_products_multiply_so_many_times():
    products = forward_products(SIZE, LENGTHS, ROWS)
    assert counted(all_products(products, "cpu", "32-true")) == flops(products)


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_they_are_multiplied_in_the_precision_of_the_workload(precision, dtype, monkeypatch):
    seen = set()
    real = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: seen.add((a.dtype, b.dtype)) or real(a, b))
    all_products(forward_products(SIZE, LENGTHS, 1), "cpu", precision)()
    assert seen == {(dtype, dtype)}
