"""Text, and who gets which rows of it: no training here."""

import dataclasses

import pytest
import torch

from benchmarks.stage.recipe import RECIPES
from benchmarks.stage.rows import LARGEST, assign_roles
from benchmarks.stage.texts import own_texts, standard_library
from memunlearn.errors import UserError

RECIPE = dataclasses.replace(RECIPES["tiny"], memorized=10, unseen=12, seen=8, background=60)


def shingles(rows):
    return {tuple(row[start : start + 20]) for row in rows.tolist() for start in range(rows.shape[1] - 19)}


@pytest.fixture(scope="module")
def material():
    """Candidates [60, 100] and text [70, 100]: candidates 0-3 alike, 4 and 5 alike, 20-39 one large cluster; text 0 is like
    candidate 0, text 1 like candidate 50."""
    generator = torch.Generator().manual_seed(3)
    candidates = torch.randint(0, 5000, (60, 100), generator=generator)
    text = torch.randint(0, 5000, (70, 100), generator=generator)
    candidates[1:4, 30:55] = candidates[0, 30:55]
    candidates[5, 5:30] = candidates[4, 60:85]
    candidates[21:40, :20] = candidates[20, 70:90]
    candidates[20, :20] = candidates[20, 70:90]
    text[0, 40:70] = candidates[0, 30:60]
    text[1, :20] = candidates[50, 80:]
    return candidates, text


@pytest.mark.parametrize("seed", range(6))
def test_no_near_duplicate_of_what_is_memorized_or_unseen_is_shown_as_background(material, seed):
    rows = assign_roles(*material, RECIPE, seed)
    assert [len(ids) for ids in rows.corpus.values()] == [10, 8, 12] and len(rows.background) == 60
    by_role = [shingles(ids) for ids in (rows.memorized, rows.unseen, rows.background)]
    assert not (by_role[0] & by_role[1] or by_role[0] & by_role[2] or by_role[1] & by_role[2])
    assert torch.equal(rows.background[:8], rows.seen)
    everything = torch.cat([rows.memorized, rows.unseen, rows.background])
    assert len(everything.unique(dim=0)) == len(everything)


@pytest.mark.parametrize("seed", range(6))
def test_roles_go_to_candidates_only_and_not_to_large_clusters(material, seed):
    candidates, _ = material
    rows = assign_roles(*material, RECIPE, seed)
    known = [row.tolist() for row in candidates]
    places = [known.index(row) for ids in rows.corpus.values() for row in ids.tolist()]
    assert not set(places) & set(range(20, 40)) and LARGEST < 20


def test_near_duplicates_are_memorized_together(material):
    """But for the last cluster, of which only a part may have room."""
    candidates, _ = material
    known = [row.tolist() for row in candidates]
    together = []
    for seed in range(12):
        memorized = {known.index(row) for row in assign_roles(*material, RECIPE, seed).memorized.tolist()}
        if memorized & {0, 1, 2, 3}:
            together.append(len(memorized & {0, 1, 2, 3}))
    assert together.count(4) >= len(together) / 2 > 0


def test_a_seed_is_a_choice(material):
    first, again, other = (assign_roles(*material, RECIPE, seed) for seed in (0, 0, 1))
    assert first.sha() == again.sha() != other.sha()
    assert torch.equal(first.memorized, again.memorized) and not torch.equal(first.memorized, other.memorized)


def test_the_hash_knows_which_row_has_which_role(material):
    rows = assign_roles(*material, RECIPE, 0)
    swapped = dataclasses.replace(rows, memorized=torch.cat([rows.memorized[:-1], rows.unseen[:1]]))
    longer = dataclasses.replace(rows, memorized=torch.cat([rows.memorized, rows.seen]), seen=rows.seen[:0])
    assert len({rows.sha(), swapped.sha(), longer.sha()}) == 3


def test_too_few_rows_are_refused(material):
    candidates, text = material
    with pytest.raises(UserError, match="60 rows, .* too few for 10 memorized, 40 unseen and 8 seen"):
        assign_roles(candidates, text, dataclasses.replace(RECIPE, unseen=40), 0)
    with pytest.raises(UserError, match="0 rows"):
        assign_roles(candidates[:0], text, RECIPE, 0)


def test_the_standard_library_is_text():
    topics, everything = standard_library(sources=False), standard_library(sources=True)
    assert everything[: len(topics)] == topics and len(everything) > len(topics) + 300
    assert any("class OrderedDict" in text for text in everything) and everything == standard_library(sources=True)


def test_a_python_without_sources_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "test_this.py").write_text("1")
    with pytest.raises(UserError, match="holds no sources"):
        standard_library(sources=True)


def test_own_text_is_what_is_utf_8_in_the_order_of_its_paths(tmp_path):
    (tmp_path / "b").mkdir()
    for name, content in {"c.txt": "third", "a.md": "Grüße", "b/x.rst": "second", "empty.txt": " \n"}.items():
        (tmp_path / name).write_text(content, "utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    assert own_texts(str(tmp_path)) == ["Grüße", "second", "third"]
    assert own_texts(str(tmp_path / "c.txt")) == ["third"]
    with pytest.raises(UserError, match="no such file"):
        own_texts(str(tmp_path / "d"))
    with pytest.raises(UserError, match="no UTF-8 text"):
        own_texts(str(tmp_path / "picture.png"))
