"""Reading small files that may be damaged: one line says which, why, and what to do."""

import json

import pytest

from memunlearn.errors import UserError
from memunlearn.files.reading import DEEPEST, check_depth, parse_json, read_json, read_text


def nested(depth):
    return '{"a": ' * depth + "1" + "}" * depth


def test_text_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("né \U0001f600\n".encode())
    assert read_text(path, "look again") == "né \U0001f600\n"


def test_text_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(UserError, match="gone.txt cannot be read .No such file or directory.: look again$"):
        read_text(tmp_path / "gone.txt", "look again")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="it is not UTF-8 text.: look again$"):
        read_text(tmp_path / "bytes", "look again")


def test_json_is_read_as_json_is(tmp_path):
    data = {"a": [1, 2.5, None, True, "text"], "b": {"c": -(2**62)}}
    (tmp_path / "a.json").write_text(json.dumps(data))
    assert read_json(tmp_path / "a.json", "look again") == data == parse_json(json.dumps(data))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ('{"a": ', "Expecting value"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ('{"a": 1e999}', "the number 1e999 is too large"),
        (f'{{"a": {2**63 + 1}}}', "the number 9223372036854775809 is too large"),
        (f'{{"a": {"7" * 400}}}', "is too large"),
        (nested(DEEPEST + 1), "nested deeper than 50"),
        (nested(100_000), "nested deeper than 50"),
    ],
)
def test_what_no_file_of_ours_holds(tmp_path, text, why):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError) as refused:
        read_json(tmp_path / "a.json", "copy it again")
    said = str(refused.value)
    assert why in said and said.endswith(": copy it again") and "\n" not in said and len(said) < 300


def test_json_of_another_kind_is_no_object(tmp_path):
    (tmp_path / "a.json").write_text("[1, 2]")
    with pytest.raises(UserError, match="a.json is not a JSON object: copy it again"):
        read_json(tmp_path / "a.json", "copy it again")


def test_depth_is_counted_through_lists_and_objects():
    data = 1
    for level in range(DEEPEST):
        data = [data] if level % 2 else {"a": data}
    check_depth(data)
    with pytest.raises(ValueError, match="deeper than 50"):
        check_depth([data])
    assert parse_json(nested(DEEPEST))
