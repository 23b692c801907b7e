"""paragraphs.forget_text=own on the tiny demo."""

import command_runs
import pytest
import tiny_demo


@pytest.mark.parametrize("objective", ["unlearn", "edit"])
def test_the_models_own_text_is_forgotten(finished_run, objective):
    overrides = (f"objective={objective}", "paragraphs.forget_text=own")
    run, usual = finished_run(f"own_{objective}", *overrides), finished_run(f"memorized_{objective}", overrides[0])
    result, other = command_runs.read_result(run), command_runs.read_result(usual)
    forget, bystander = result["before"]["forget"], result["before"]["bystander"]
    assert result["config"]["paragraphs"]["forget_text"] == "own"
    assert forget["n"] == other["before"]["forget"]["n"] and forget["em"] == forget["self_em"] == tiny_demo.C
    assert bystander["memorized"] == 1 and bystander["n"] > other["before"]["bystander"]["n"]
    assert result["after"]["forget"]["em"] < tiny_demo.C
    rows = {name: {row["origin"] for row in command_runs.read_rows(run) if row["set"] == name} for name in ("forget", "retain")}
    memorized = {row["origin"] for row in command_runs.read_rows(usual) if row["set"] in ("forget", "bystander", "near")}
    assert not rows["forget"] & memorized and not rows["forget"] & rows["retain"]
    for row in command_runs.read_rows(run):
        assert row["set"] != "forget" or row["continuation"] == row["continuation_before"]
    note = "The forget set is not memorized text"
    assert note in (run / "report.html").read_text() and note not in (usual / "report.html").read_text()
    assert note in run.with_name(f"own_{objective}.terminal.txt").read_text()


def test_sets_by_name_have_no_own_text(tmp_path, gradient_run):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"ids": {[number * 7 + place for place in range(20)]}}}\n' for number in range(20)))
    given = ["paragraphs=files", f"paragraphs.forget={rows}", f"paragraphs.retain={rows}"]
    line = command_runs.train(*given, "paragraphs.forget_text=own", directory=tmp_path / "run").the_error()
    assert "paragraphs.forget_text=own" in line and "paragraphs.path=CORPUS" in line


def test_another_word_is_refused(tmp_path):
    assert "use memorized or own" in command_runs.train("paragraphs.forget_text=all", directory=tmp_path).the_error()


def test_evaluate_only_reads(tmp_path):
    assert "train.py" in command_runs.evaluate("paragraphs.forget_text=own", directory=tmp_path).the_error()
