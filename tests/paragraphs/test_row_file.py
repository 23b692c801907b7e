import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from memunlearn.errors import UserError
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.paragraphs.row_file import read_rows, write_rows


def rows(count, first):
    ids = torch.arange(first, first + count * 5).view(count, 5)
    return ParagraphSet(ids, 2, tuple(f"rows {first}:{row}" for row in range(count)))


SETS = {"forget": rows(2, 0), "near": rows(0, 0), "retain": rows(3, 100)}


def test_the_file_holds_ids_by_role(tmp_path):
    write_rows(tmp_path / "rows.safetensors", SETS)
    held = load_file(tmp_path / "rows.safetensors")
    assert held.keys() == SETS.keys() and all(torch.equal(held[name], members.ids) for name, members in SETS.items())
    read = read_rows(tmp_path / "rows.safetensors", 2)
    assert torch.equal(read.paragraphs.ids, torch.cat([members.ids for members in SETS.values()]))
    assert read.paragraphs.origin == SETS["forget"].origin + SETS["retain"].origin and read.paragraphs.prefix_length == 2
    assert read.bins == () and not read.self_generated and read.alternatives.shape == (0, 5)


def test_alternatives_and_bins_of_origin(tmp_path):
    alternatives, bins = torch.full((1, 5), 9), {"forget": ["50", "50"], "near": [], "retain": ["0-10"] * 3}
    write_rows(tmp_path / "rows.safetensors", SETS, alternatives, bins, self_generated=True)
    read = read_rows(tmp_path / "rows.safetensors", 2)
    assert torch.equal(read.alternatives, alternatives)
    assert read.bins == ("50", "50", "0-10", "0-10", "0-10") and read.self_generated


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="rows.safetensors.*No space"):
        write_rows(tmp_path / "rows.safetensors", SETS)
    assert not list(tmp_path.iterdir())


def test_what_is_no_such_file_is_refused(tmp_path):
    path = tmp_path / "rows.safetensors"
    with pytest.raises(UserError, match="cannot be read"):
        read_rows(path, 2)
    write_rows(path, SETS)
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole.replace(b'"origin"', b'"0rigin"')):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="rows.safetensors"):
            read_rows(path, 2)
    for tensors in ({"other": torch.ones(2, 5)}, {"forget": torch.ones(2, 5)}, {"forget": torch.ones(5, dtype=torch.int64)}):
        save_file(tensors, path, {"origin": "{}"})
        with pytest.raises(UserError, match="int64"):
            read_rows(path, 2)
    save_file({"forget": SETS["forget"].ids, "retain": torch.ones(2, 6, dtype=torch.int64)}, path, {"origin": "{}"})
    with pytest.raises(UserError, match="as wide"):
        read_rows(path, 2)
