import hashlib
import json
import struct

import pytest
import torch

from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.paragraphs.roles import Roles, as_metadata, from_metadata, positions_of, roles_of, row_hashes

IDS = torch.tensor([[3, 1, 4, 1], [5, 9, 2, 6], [5, 3, 5, 50256], [3, 1, 4, 1]])


def by_hand(row):
    return hashlib.sha256(b"".join(struct.pack("<q", token) for token in row)).hexdigest()


def some_set(ids):
    return ParagraphSet(ids, 2, tuple(f"file.pt:{row}" for row in range(len(ids))))


@pytest.fixture
def roles():
    members = {
        "forget": (some_set(IDS[:2]), torch.tensor([0, 1])),
        "near": (some_set(IDS[:0]), torch.tensor([], dtype=torch.int64)),
        "retain": (some_set(IDS[2:]), torch.tensor([7, 0])),
    }
    return roles_of(members, {1: torch.tensor([5, 9, 8, 8])})


def test_a_rows_hash_is_sha256_over_its_ids():
    assert row_hashes(IDS) == tuple(by_hand(row) for row in IDS.tolist())
    assert row_hashes(IDS.t().contiguous().t()) == row_hashes(IDS)  # however the rows lie in memory


def test_roles_are_hashes_and_clusters_of_the_sets_that_have_rows(roles):
    hashes = [by_hand(row) for row in IDS.tolist()]
    assert roles.rows == {"forget": tuple(hashes[:2]), "retain": tuple(hashes[2:])}
    assert roles.clusters == {"forget": (0, 1), "retain": (7, 0)}
    assert roles.alternatives == (None, by_hand([5, 9, 8, 8]))
    assert roles.hashes == set(hashes)


def test_they_survive_a_files_metadata(roles):
    metadata = as_metadata(roles)
    assert all(isinstance(value, str) for value in metadata.values())
    assert from_metadata(metadata) == roles
    plain = Roles(roles.rows, roles.clusters)
    assert from_metadata(as_metadata(plain)) == plain
    assert from_metadata({"config": "{}"}) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("roles", "[]"),
        ("roles", "{}"),
        ("roles", "{"),
        ("roles", json.dumps({"forget": ["text of a paragraph"], "retain": []})),
        ("roles", json.dumps({"everything": [], "retain": []})),
        ("roles", "[" * 100_000),
        ("clusters", json.dumps({"forget": [0, 1]})),
        ("clusters", json.dumps({"forget": [0], "retain": [7, 0]})),
        ("clusters", json.dumps({"forget": [0, -1], "retain": [7, 0]})),
        ("clusters", json.dumps({"forget": [0, 1.5], "retain": [7, 0]})),
        ("alternatives", json.dumps([None])),
        ("alternatives", json.dumps([None, 7])),
    ],
)
def test_metadata_that_is_none_of_ours_is_refused(roles, key, value):
    with pytest.raises(ValueError):
        from_metadata({**as_metadata(roles), key: value})


def test_rows_are_found_by_hash_and_copies_in_turn():
    assert positions_of(["a", "b", "a", "a", "x"], ["b", "a", "c", "a"]) == [1, 0, 3, 1, None]
    assert positions_of(["a", "a"], ["a"]) == [0, 0]  # the same text: one copy says what the other would
    assert positions_of([], ["a"]) == [] and positions_of(["a"], []) == [None]
