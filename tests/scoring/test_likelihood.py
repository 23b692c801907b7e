"""min-k, min-k++ and zlib against loops and by hand."""

import math
import zlib

import pytest
import torch

from memunlearn.scoring.likelihood import compressed_bytes, mean_of_lowest, nll_per_byte, standardized


@pytest.mark.parametrize(("length", "number"), [(1, 1), (4, 1), (5, 1), (9, 1), (10, 2), (50, 10), (7, 1)])
def test_the_lowest_fifth_against_sorting(length, number):
    values = torch.randn(6, length, generator=torch.Generator().manual_seed(length))
    expected = [sum(sorted(row)[:number]) / number for row in values.tolist()]
    assert mean_of_lowest(values).tolist() == pytest.approx(expected, rel=1e-5)


def naive_z(log_p, label):
    p = [math.exp(value) for value in log_p]
    mu = sum(a * b for a, b in zip(p, log_p, strict=True))
    variance = sum(a * (b - mu) ** 2 for a, b in zip(p, log_p, strict=True))
    return (log_p[label] - mu) / math.sqrt(variance)


def test_standardized_against_a_loop():
    generator = torch.Generator().manual_seed(1)
    log_p = (2 * torch.randn(5, 3, 17, generator=generator)).log_softmax(-1)
    labels = torch.randint(0, 17, (5, 3), generator=generator)
    kept, of_labels = log_p.clone(), log_p.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    expected = [[naive_z(log_p[i, j].double().tolist(), int(labels[i, j])) for j in range(3)] for i in range(5)]
    found = standardized(of_labels, log_p)
    assert found.flatten().tolist() == pytest.approx([z for row in expected for z in row], rel=1e-3, abs=1e-4)
    assert torch.equal(log_p, kept)  # it is read by others after this


def test_standardized_by_hand():
    """p = 3/4, 1/4: mu = 3/4 log 3/4 + 1/4 log 1/4, sigma = sqrt(3)/4 log 3."""
    log_p = torch.tensor([[[0.75, 0.25]]]).log()
    mu, sigma = 0.75 * math.log(0.75) + 0.25 * math.log(0.25), math.sqrt(3) / 4 * math.log(3)
    for label in (0, 1):
        found = standardized(log_p[..., label], log_p)
        assert float(found) == pytest.approx((float(log_p[0, 0, label]) - mu) / sigma, rel=1e-5)


def test_where_every_token_is_as_likely_or_one_is_certain_there_is_a_number():
    alike = torch.full((1, 1, 8), 1 / 8).log()
    assert abs(float(standardized(alike[..., 3], alike))) < 1
    certain = torch.tensor([[[0.0, -1e4, -1e4]]])
    assert float(standardized(certain[..., 0], certain)) == 0.0
    assert float(standardized(certain[..., 1], certain)) == pytest.approx(-1e10)


def test_bytes_are_zlibs_and_what_cannot_be_encoded_is_replaced():
    texts = ["", "abc", "abc" * 100, "Tänze", "\ud800"]
    assert compressed_bytes(texts) == [len(zlib.compress(text.encode("utf-8", "replace"))) for text in texts]
    assert compressed_bytes(["abc" * 100])[0] < 300


def test_nats_per_byte_by_hand():
    nll = torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.0, 0.25]])
    assert nll_per_byte(nll, torch.tensor([12, 3])).tolist() == [0.5, 0.25]
