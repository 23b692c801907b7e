"""`python -m benchmarks.speed`: what it writes, and what it says to a mistake."""

import json

import pytest
import torch

from benchmarks.speed import __main__ as speed

TINY = ["--size", "tiny", "--rows", "2", "--rounds", "1", "--prefix", "7", "--continuation", "9"]


def test_it_writes_a_file_and_a_page(tmp_path, capsys):
    out, page = tmp_path / "new" / "speed.json", tmp_path / "page.md"
    page.write_text("# Speed\n<!-- speed -->\n<!-- end of speed -->\n")
    assert speed.main([*TINY, "--only", "scoring", "--out", str(out), "--write", str(page)]) == 0
    measured = json.loads(out.read_text())
    assert measured["settings"] == {
        "size": "tiny",
        "rows": 2,
        "rounds": 1,
        "prefix": 7,
        "continuation": 9,
        "precision": "32-true",
    }
    command = "python -m benchmarks.speed --size tiny --rows 2 --rounds 1 --prefix 7 --continuation 9 --only scoring"
    assert measured["command"] == command and measured["machine"]["device"] == "cpu"
    assert "**Scoring a batch.**" in page.read_text() and page.read_text().startswith("# Speed\n<!-- speed -->\n`python")
    capsys.readouterr()
    assert speed.main(["--read", str(out), str(out)]) == 0
    assert capsys.readouterr().out.count("**Scoring a batch.**") == 2


def test_a_card_that_is_not_there_is_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert speed.main([*TINY, "--device", "cuda", "--out", str(tmp_path / "speed.json")]) == 2
    assert "error: --device cuda" in capsys.readouterr().err and not (tmp_path / "speed.json").exists()


def test_a_file_that_is_not_there_is_one_line(tmp_path, capsys):
    assert speed.main(["--read", str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err


def test_every_workload_has_a_name():
    functions = [speed.of_name(name) for name in speed.WORKLOADS]
    assert len(set(functions)) == len(speed.WORKLOADS)


def test_sizes_are_those_that_there_are():
    from benchmarks.speed.sizes import SIZES

    assert speed.SIZES == tuple(SIZES)


@pytest.mark.parametrize(
    "wrong", [["--rows", "0"], ["--rounds", "0"], ["--prefix", "0"], ["--continuation", "-1"], ["--threads", "0"]]
)
def test_numbers_are_one_or_more(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        speed.main([*TINY, *wrong])
    assert ended.value.code == 2 and "must be 1 or more" in capsys.readouterr().err
