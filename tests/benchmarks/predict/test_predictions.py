"""Predictions from what was measured, or from what is assumed."""

import json

import pytest

from benchmarks.predict import __main__ as predict
from benchmarks.predict.costs import Rate
from benchmarks.speed.workload import OURS, PRODUCTS
from memunlearn.errors import UserError

MEASURED = {
    "machine": {"name": "an EPYC"},
    "workloads": [
        {
            "name": "scoring",
            "seconds": {OURS: [2.0, 4.0, 8.0], PRODUCTS: [1.0, 3.0, 2.0]},
            "flops": {OURS: 6e9, PRODUCTS: 6e9},
        },
        {"name": "step_all", "seconds": {OURS: [4.0, 5.0], PRODUCTS: [2.0, 3.5]}, "flops": {}},
    ],
}


def test_shares_are_medians_of_rounds():
    assert predict.rate_of(MEASURED) == Rate(3e9, 0.5, pytest.approx(0.6))


def test_without_a_step_there_is_nothing_to_predict_from():
    with pytest.raises(UserError, match="no step_all"):
        predict.rate_of({"workloads": MEASURED["workloads"][:1]})


def test_predictions_of_a_file_go_into_a_page(tmp_path, capsys):
    scoring, step, page = (tmp_path / name for name in ("scoring.json", "step.json", "page.md"))
    scoring.write_text(json.dumps({**MEASURED, "workloads": MEASURED["workloads"][:1]}))
    step.write_text(json.dumps({**MEASURED, "workloads": MEASURED["workloads"][1:]}))
    page.write_text("<!-- predicted -->\n<!-- end of predicted -->\n")
    assert predict.main(["--read", str(scoring), str(step), "--write", str(page)]) == 0
    assert "measured on an EPYC" in capsys.readouterr().out
    assert "| 20B |" in page.read_text() and "0.003 TFLOP/s, of which scoring reaches 50%" in page.read_text()


def test_an_assumed_machine_is_called_assumed_and_twice_the_rate_is_half_the_days(capsys):
    days = []
    for tflops in ("100", "200"):
        assert predict.main(["--tflops", tflops]) == 0
        said = capsys.readouterr().out
        assert "assumed, not measured" in said
        days.append([line for line in said.splitlines() if line.startswith("| 125m |")][1].split("|")[2])
    assert float(days[0].replace(",", "")) == pytest.approx(2 * float(days[1].replace(",", "")), rel=0.01)


def test_the_starts_of_all_jobs_are_said_where_a_run_was_measured(tmp_path, capsys):
    file = tmp_path / "commands.json"
    run = {"name": "run", "seconds": {"imports": [4.0], "training": [100.0], "everything else": [5.0]}}
    file.write_text(json.dumps({"workloads": [run]}))
    assert predict.main(["--tflops", "100", "--commands", str(file), "--jobs", "400"]) == 0
    assert "Starting a process takes 9 s: 400 of them 1 hours." in capsys.readouterr().out
    file.write_text(json.dumps(MEASURED))
    assert predict.main(["--tflops", "100", "--commands", str(file)]) == 2
    assert "has no run" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_one_line(tmp_path, capsys):
    assert predict.main(["--read", str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err
