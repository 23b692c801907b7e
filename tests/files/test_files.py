import json
import math

import pyarrow
import pyarrow.parquet
import pytest

from memunlearn.files.writing import (
    finite_or_null,
    remove_folder,
    remove_leftovers,
    replacing,
    replacing_folder,
    write_bytes,
    write_json,
    write_parquet,
    write_text,
)


def test_json_is_strict_and_complete(tmp_path):
    path = tmp_path / "new" / "result.json"
    write_json(path, {"a": math.nan, "b": [1.5, (-math.inf, 2)], "c": {"d": math.inf, "e": True, "f": "é\ud800"}})

    def refuse(constant):
        raise AssertionError(constant)

    data = json.loads(path.read_text(), parse_constant=refuse)
    assert data == {"a": None, "b": [1.5, [None, 2]], "c": {"d": None, "e": True, "f": "é\ud800"}}


def test_parquet_from_columns_and_from_a_table(tmp_path):
    columns = {"set": ["forget", "retain"], "em_before": [50, 0], "kl": [0.5, None]}
    for source in (columns, pyarrow.table(columns)):
        write_parquet(tmp_path / "paragraphs.parquet", source)
        assert pyarrow.parquet.read_table(tmp_path / "paragraphs.parquet").to_pydict() == columns


def fail_in_json(path):
    write_json(path, {"fine": 1, "not json": object()})


def fail_in_parquet(path):
    write_parquet(path, {"a": [1, 2], "b": [1]})


def fail_half_way(path):
    with replacing(path) as temporary:
        temporary.write_text("half of")
        raise OSError("no space left on device")


@pytest.mark.parametrize("failing", [fail_in_json, fail_in_parquet, fail_half_way])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, failing):
    path = tmp_path / "result.json"
    path.write_text("old")
    with pytest.raises((TypeError, pyarrow.ArrowInvalid, OSError)):
        failing(path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


def test_nothing_is_under_the_final_name_before_the_end(tmp_path):
    path = tmp_path / "patch.safetensors"
    with replacing(path) as temporary:
        temporary.write_bytes(b"x")
        assert not path.exists()
        assert temporary.parent == tmp_path and temporary.suffix == ".safetensors"
    assert path.read_bytes() == b"x"


def test_text_is_utf8_whatever_it_holds(tmp_path):
    write_text(tmp_path / "page.html", "Grüße \ud800 日本")
    assert (tmp_path / "page.html").read_bytes().decode("utf-8") == "Grüße ? 日本"


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    (tmp_path / ".tmp-1-report.html").write_text("half of it")
    (tmp_path / "figures" / ".tmp-2-em.png").mkdir(parents=True)
    (tmp_path / "figures" / ".tmp-2-em.png" / "inside").write_text("half of it")
    (tmp_path / "figures" / "em.png").write_text("whole")
    with replacing(tmp_path / "being.json") as temporary, replacing_folder(tmp_path / "model") as folder:
        temporary.write_text("{}")
        remove_leftovers(tmp_path)
        (folder / "weights").write_text("1")
        assert temporary.exists() and folder.exists()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "being.json",
        "figures",
        "figures/em.png",
        "model",
        "model/weights",
    ]
    remove_leftovers(tmp_path / "not there")


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), replacing_folder(tmp_path / "model") as folder:
        (folder / "half").write_text("")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("")
    with pytest.raises(OSError), replacing_folder(tmp_path / "model") as folder:
        (folder / "new").write_text("")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "old"]


def test_the_name_of_a_removed_folder_is_free_before_anything_in_it_goes(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("")
    seen = []
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda path: seen.append((path.name, (tmp_path / "model").exists())))
        remove_folder(tmp_path / "model")
    assert seen[0][0].startswith(".tmp-") and not seen[0][1]
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []
    remove_folder(tmp_path / "model")


def test_numbers_that_json_lacks_are_null_wherever_they_stand():
    data = {"a": [1.5, math.nan, (math.inf, -math.inf)], "b": {"c": math.nan, "d": "nan", "e": None, "f": True}}
    assert finite_or_null(data) == {"a": [1.5, None, [None, None]], "b": {"c": None, "d": "nan", "e": None, "f": True}}
    assert math.isnan(data["a"][1])  # what was given is left alone


def test_what_json_cannot_hold_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert list(tmp_path.iterdir()) == []


def test_bytes_are_written_as_they_are_in_folders_that_are_made(tmp_path):
    content = bytes(range(256))
    write_bytes(tmp_path / "a" / "b" / "c.bin", content)
    assert (tmp_path / "a" / "b" / "c.bin").read_bytes() == content
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["c.bin"]


def test_a_folder_that_is_not_there_is_removed_without_complaint(tmp_path):
    remove_folder(tmp_path / "gone")
    remove_leftovers(tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []
