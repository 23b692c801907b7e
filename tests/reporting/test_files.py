import json
import math

import pyarrow
import pyarrow.parquet
import pytest

from memunlearn.reporting.files import replacing, write_json, write_parquet, write_text


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
