"""A few of the points of `kill_everywhere.py`, which does a hundred; and that it notices what it looks for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

import comparing  # noqa: E402

SCRIPT = Path(__file__).with_name("kill_everywhere.py")


@pytest.mark.slow
def test_killed_runs_leave_nothing_torn_and_are_done_again_to_the_byte():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--points", "8"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "8 points, 0 wrong" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "whole", "half"),
    [
        ("result.json", b'{"a": 1}', b'{"a": '),
        ("config.yaml", b"a: 1\n", b""),
        ("metrics.csv", b"a,step\n1.5,2\n", b"a,step\n1."),
        ("report.html", b"<html></html>\n", b"<html>"),
        ("paragraphs.parquet", None, b"PAR1"),
        ("patch.safetensors", None, b"\0" * 12),
        ("em.png", None, b"\x89PNG"),
    ],
)
def test_torn_files_are_found(tmp_path, name, whole, half):
    if whole is not None:
        (tmp_path / name).write_bytes(whole)
        assert comparing.torn([tmp_path]) == []
    (tmp_path / name).write_bytes(half)
    (tmp_path / f".tmp-1-{name}").write_bytes(half)
    assert [one.split()[0] for one in comparing.torn([tmp_path])] == [f"{tmp_path.name}/{name}"]


def test_what_differs_is_found(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps({"em": 3.0, "seconds": {"all": len(name)}}))
    (one,), (other,) = (comparing.content([tmp_path / name]).values() for name in ("one", "other"))
    assert one == other == {"em": 3.0}
    expected = comparing.content([tmp_path / "one"])
    (tmp_path / "one" / "result.json").write_text('{"em": 3.5}')
    (tmp_path / "one" / ".tmp-1-report.html").write_text("")
    assert comparing.differences(comparing.content([tmp_path / "one"]), expected) == [
        "one/.tmp-1-report.html is left behind",
        "one/result.json differs",
    ]
