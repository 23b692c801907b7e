"""A finding written and read again."""

import json

import pytest

from memunlearn.errors import UserError
from memunlearn.results.finding import Finding
from memunlearn.results.finding_files import KeptFinding, finding_path, read_finding, write_finding

FINDING = Finding(
    name="weight_noise",
    title="Noise on weights",
    sentences=("First things first.", "Then < the rest & more."),
    unit="clusters",
    numbers={"ratio": {"value": 1.5, "low": None}, "rows": 12},
    tables={"noise": {"scale": [0.1, 0.2], "set": ["a", None]}},
    charts=(),
    notes=("left out: 3 rows",),
)


def test_what_is_written_is_read(tmp_path):
    write_finding(tmp_path, KeptFinding("abc", 2.5, FINDING))
    path = finding_path(tmp_path, "weight_noise")
    assert path == tmp_path / "findings" / "weight_noise.json"
    assert read_finding(path) == KeptFinding("abc", 2.5, FINDING)


@pytest.mark.parametrize("damage", ["missing", "cut", "no key", "another type", "not utf-8"])
def test_a_damaged_file_is_one_line(tmp_path, damage):
    write_finding(tmp_path, KeptFinding("abc", 2.5, FINDING))
    path = finding_path(tmp_path, "weight_noise")
    content = json.loads(path.read_text())
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_text(path.read_text()[:-20])
    elif damage == "no key":
        path.write_text(json.dumps({**content, "finding": {**content["finding"], "title": [1]}}))
    elif damage == "another type":
        path.write_text(json.dumps({name: value for name, value in content.items() if name != "key"}))
    else:
        path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not a finding that can be read .*: run the analysis again") as refused:
        read_finding(path)
    assert "\n" not in str(refused.value)
