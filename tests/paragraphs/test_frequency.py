"""Token frequencies: counted in paragraphs, or read from a file that has one count a token."""

from collections import Counter

import numpy as np
import pytest
import torch

from memunlearn.errors import UserError
from memunlearn.paragraphs.frequency import count_tokens, read_token_counts

COUNTS = [4, 0, 17, 3, 9]


def test_counts_are_those_of_counting():
    ids = torch.randint(0, 13, (5, 8), generator=torch.Generator().manual_seed(3))
    counted = Counter(ids.flatten().tolist())
    assert count_tokens(ids, 15).tolist() == [counted[token] for token in range(15)]


@pytest.mark.parametrize("dtype", [np.int64, np.uint32, np.float64])
def test_counts_from_numpy(tmp_path, dtype):
    np.save(tmp_path / "counts.npy", np.array(COUNTS, dtype))
    assert read_token_counts(tmp_path / "counts.npy", 5).tolist() == COUNTS


def test_counts_from_torch(tmp_path):
    torch.save(torch.tensor(COUNTS), tmp_path / "counts.pt")
    counts = read_token_counts(str(tmp_path / "counts.pt"), 5)
    assert counts.tolist() == COUNTS and counts.dtype == torch.int64


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([4, 0, 17], r"holds \[3\] numbers, but the model knows 5 tokens"),
        ([[4, 0, 17, 3, 9]], r"holds \[1, 5\] numbers"),
        ([4, -2, 17, 3, 9], "npy:1: a count of -2 is negative"),
        ([4, 0, 1.5, 3, 9], "npy:2: 1.5"),
        ([4, 0, float("nan"), 3, 9], "npy:2: nan"),
    ],
)
def test_what_are_no_counts(tmp_path, values, says):
    np.save(tmp_path / "counts.npy", np.array(values))
    with pytest.raises(UserError, match=says):
        read_token_counts(tmp_path / "counts.npy", 5)


@pytest.mark.parametrize(("name", "says"), [("none.npy", "no such file"), ("counts.txt", "must end in one of .pt, .npy")])
def test_what_is_no_file_of_counts(tmp_path, name, says):
    (tmp_path / "counts.txt").write_text("4 0 17")
    with pytest.raises(UserError, match=says):
        read_token_counts(tmp_path / name, 5)


def test_a_cluster_counts_once_with_the_mean_over_its_rows():
    ids = torch.tensor([[0, 1, 1, 2]] * 48 + [[0, 1, 3, 2]] + [[4, 2, 2, 2]])
    clusters = torch.tensor([5] * 49 + [9])
    found = count_tokens(ids, 6, clusters)
    assert found.tolist() == pytest.approx([1, 1 + 48 / 49, 1 + 3, 1 / 49, 1, 0], abs=1e-6)
    assert found[0] == found[4] == 1  # equal counts stay equal
    assert torch.equal(count_tokens(ids, 6, torch.arange(50)), count_tokens(ids, 6).double())
