import math

import pytest

from memunlearn.errors import UserError
from memunlearn.results.curve import read_curve


def test_empty_cells_are_missing_keys(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,train/loss,check/forget_em\n0,3.5,\n0,,50\n4,nan,12.5\n")
    rows = read_curve(path)
    assert rows[:2] == [{"step": 0, "train/loss": 3.5}, {"step": 0, "check/forget_em": 50}]
    assert math.isnan(rows[2]["train/loss"]) and rows[2]["check/forget_em"] == 12.5


@pytest.mark.parametrize("text", ["", "step,train/loss\n"])
def test_nothing_logged_is_an_empty_curve(tmp_path, text):
    (tmp_path / "metrics.csv").write_text(text)
    assert read_curve(tmp_path / "metrics.csv") == []


@pytest.mark.parametrize("line", ["1,what\n", "1,2,3\n"])
def test_what_is_no_number_is_named_with_its_line(tmp_path, line):
    path = tmp_path / "metrics.csv"
    path.write_text("step,train/loss\n0,1\n" + line)
    with pytest.raises(UserError, match=r"metrics\.csv, line 3: .*not a number"):
        read_curve(path)


def test_a_missing_file_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.csv: cannot read the training curve"):
        read_curve(tmp_path / "nowhere.csv")
