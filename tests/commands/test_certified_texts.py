"""What a certificate says of whole texts: a run's own, only where the run beside the patch is the one that made it."""

import json

import pytest

from memunlearn.commands.certified_texts import facts_of_run, read_search
from memunlearn.errors import UserError
from memunlearn.models.patches import Patch

CONFIG = {"seed": 3, "paragraphs": {"forget": ["/home/a/letters", "/home/a/more.csv"], "retain": {"prefix": "/x/p.npy"}}}
PATCH = Patch(indices={}, deltas={}, base_fingerprint="base", config=CONFIG)
RUN = {
    "config": CONFIG,
    "notes": ["kept: the model's own text"],
    "inputs": {"paragraphs.forget": "a1", "paragraphs.retain": "b2"},
    "texts": [{"name": "a.txt", "tokens": 30, "em": 10.0}, {"name": "b.txt", "tokens": 12, "em": 4.0}],
}
SEARCH = {
    "model": {"fingerprint": "changed"},
    "texts": [
        {"name": "b.txt", "tokens": 12, "em": 0.0, "windows": 1, "spans": [], "places": 7},
        {"name": "a.txt", "tokens": 30, "em": 2.0, "windows": 5, "spans": [{"start": 3, "end": 9}], "places": 8},
    ],
}


@pytest.fixture
def patch_file(tmp_path):
    (tmp_path / "result.json").write_text(json.dumps(RUN))
    return tmp_path / "patch.safetensors"


def test_files_are_named_without_their_folders(patch_file):
    facts = facts_of_run(patch_file, PATCH, None)
    assert facts["files"] == [
        {"setting": "paragraphs.forget", "names": ["letters", "more.csv"], "sha256": "a1"},
        {"setting": "paragraphs.retain", "names": ["p.npy"], "sha256": "b2"},
    ]
    assert facts["kept"] == ["kept: the model's own text"]


def test_each_text_is_told_with_what_is_found_of_it_now(patch_file):
    facts = facts_of_run(patch_file, PATCH, SEARCH)
    assert facts["searched"] == "changed"
    assert facts["texts"] == [
        {**RUN["texts"][0], "now": {"em": 2.0, "windows": 5, "spans": [{"start": 3, "end": 9}]}},
        {**RUN["texts"][1], "now": {"em": 0.0, "windows": 1, "spans": []}},
    ]


def test_without_a_search_nothing_is_said_of_now(patch_file):
    facts = facts_of_run(patch_file, PATCH, None)
    assert facts["searched"] is None and [text["now"] for text in facts["texts"]] == [None, None]


@pytest.mark.parametrize("where", ["nowhere", "another run's"])
def test_what_is_not_this_patchs_run_says_nothing(patch_file, where):
    result = patch_file.parent / "result.json"
    if where == "nowhere":
        result.unlink()
    else:
        result.write_text(json.dumps(RUN | {"config": CONFIG | {"seed": 4}}))
    assert facts_of_run(patch_file, PATCH, None) == {}
    with pytest.raises(UserError, match="has no result.json beside it that names texts"):
        facts_of_run(patch_file, PATCH, SEARCH)


def test_a_run_of_rows_has_no_texts_to_search_for(patch_file):
    (patch_file.parent / "result.json").write_text(json.dumps(RUN | {"texts": None}))
    assert "texts" not in facts_of_run(patch_file, PATCH, None)
    with pytest.raises(UserError, match="names texts"):
        facts_of_run(patch_file, PATCH, SEARCH)


@pytest.mark.parametrize("other", [SEARCH["texts"][:1], [SEARCH["texts"][0], SEARCH["texts"][1] | {"tokens": 31}]])
def test_a_search_of_other_texts_is_refused_by_the_texts_name(patch_file, other):
    with pytest.raises(UserError, match=r"did not look at a\.txt as it was in the run"):
        facts_of_run(patch_file, PATCH, SEARCH | {"texts": other})


def test_a_search_is_read_of_its_folder_or_its_file(tmp_path):
    (tmp_path / "find.json").write_text(json.dumps(SEARCH))
    assert read_search(str(tmp_path)) == SEARCH == read_search(str(tmp_path / "find.json"))


@pytest.mark.parametrize("content", [{}, SEARCH | {"texts": None}, SEARCH | {"model": {}}, SEARCH | {"model": "changed"}])
def test_what_is_no_search_is_refused(tmp_path, content):
    (tmp_path / "find.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="is not the result of a search"):
        read_search(str(tmp_path))


@pytest.mark.parametrize("there", [None, "no json"])
def test_what_cannot_be_read_is_named(tmp_path, there):
    if there is not None:
        (tmp_path / "find.json").write_text(there)
    with pytest.raises(UserError, match=r"find\.json"):
        read_search(str(tmp_path))
