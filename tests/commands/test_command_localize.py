"""localize.py as a user runs it, on the tiny demo: files, going on, several analyses, mistakes."""

import json

import command_runs
import numpy as np
import pyarrow.parquet
import pytest
import tiny_demo
import torch

QUICK = ("analysis=[em_nll,attention_heads]",)


def localize(*overrides, directory):
    return command_runs.run("localize", *tiny_demo.OVERRIDES, "accelerator=cpu", *overrides, directory=directory)


def read(directory):
    return json.loads((directory / "localization.json").read_text())


@pytest.fixture
def located(once, tiny_cache, drawing):
    """The folder of a run of two analyses, with what it printed."""

    def make(folder):
        ended = localize(*QUICK, directory=folder)
        assert ended.code == 0, ended.err
        folder.with_name("located.terminal.txt").write_text(ended.out)

    return once("located", make)


def test_every_file_is_there_and_named(located):
    result = read(located)
    assert result["schema"] == 1 and list(result["analyses"]) == ["em_nll", "attention_heads"] and not result["failed"]
    for name, one in result["analyses"].items():
        assert one["title"] and one["sentences"] and one["numbers"] and one["seconds"] > 0, name
        for table in one["tables"]:
            assert pyarrow.parquet.read_table(located / "tables" / f"{table}.parquet").num_rows
        for figure in one["figures"]:
            assert (located / "figures" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
            assert (located / "figures" / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
    page = (located / "localization.html").read_text()
    assert all(one["title"] in page for one in result["analyses"].values())
    assert "no evidence about where larger models" in page
    assert result["environment"]["command"].startswith("python localize.py ")


def test_the_terminal_says_what_was_found_and_where_it_is(located):
    said = " ".join(located.with_name("located.terminal.txt").read_text().split())
    for one in read(located)["analyses"].values():
        assert one["title"] in said
    assert "memorized: 8 rows" in said and "[2/2] attention_heads" in said and "localization.html" in said


def test_the_table_agrees_with_evaluate(located, tmp_path):
    table = pyarrow.parquet.read_table(located / "tables" / "em_nll.parquet").to_pydict()
    assert command_runs.evaluate(directory=tmp_path / "evaluated").code == 0
    rows = command_runs.read_rows(tmp_path / "evaluated")
    assert table["em"] == [row["em"] for row in rows] and table["bin"] == [row["bin"] for row in rows]
    np.testing.assert_allclose(table["nll"], [row["nll"] for row in rows], atol=1e-6)


def test_again_in_the_same_folder_only_what_is_missing_is_computed(tmp_path):
    first = localize("analysis=em_nll", directory=tmp_path)
    before = read(tmp_path)
    second = localize(*QUICK, directory=tmp_path)
    assert (first.code, second.code) == (0, 0), second.err
    assert "em_nll: kept" in second.out and "attention_heads: kept" not in second.out
    after = read(tmp_path)
    assert after["analyses"]["em_nll"] == before["analyses"]["em_nll"]
    assert list(after["analyses"]) == ["em_nll", "attention_heads"]


@pytest.mark.parametrize("change", ["seed=1", "max_per_bin=5"])
def test_what_was_made_from_something_else_is_computed_anew(tmp_path, change):
    assert localize("analysis=em_nll", directory=tmp_path).code == 0
    again = localize("analysis=em_nll", change, directory=tmp_path)
    assert again.code == 0 and "kept" not in again.out


def test_tables_and_figures_are_those_of_what_is_reported(tmp_path, drawing):
    """Whatever was deleted, or was left by another run in the same folder."""
    assert localize(*QUICK, directory=tmp_path).code == 0
    (tmp_path / "tables" / "em_nll.parquet").unlink()
    assert localize("analysis=em_nll", directory=tmp_path).code == 0
    (one,) = read(tmp_path)["analyses"].values()
    assert sorted(path.stem for path in (tmp_path / "tables").iterdir()) == sorted(one["tables"])
    assert sorted(path.stem for path in (tmp_path / "figures").glob("*.png")) == sorted(one["figures"])


def test_a_fault_in_one_analysis_does_not_lose_what_the_others_found(tmp_path, monkeypatch):
    from memunlearn.analyses.attention_heads import AttentionHeads

    def broken(self, material):
        raise torch.OutOfMemoryError("not enough")

    monkeypatch.setattr(AttentionHeads, "__call__", broken)
    assert "out of memory" in localize(*QUICK, directory=tmp_path).the_error()
    result = read(tmp_path)
    assert list(result["analyses"]) == ["em_nll"] and "not enough" in result["failed"]["attention_heads"]


def test_an_attribution_of_a_users_own_is_never_taken_for_the_same(tmp_path):
    own = "analysis.weight_noise.attribution._target_=test_command_localize.Own"
    options = ("analysis=weight_noise", own, "analysis.weight_noise.scales=[2]", "analysis.weight_noise.seeds=1")
    for _ in range(2):
        ended = localize(*options, directory=tmp_path)
        assert ended.code == 0 and "kept" not in ended.out, ended.err


class Own:
    """An attribution without a version."""

    def __call__(self, asked):
        weights = dict(asked.model.named_parameters())
        return {name: weights[name].detach().abs() for name in asked.names}


def test_a_damaged_finding_is_computed_anew_and_said(tmp_path):
    assert localize("analysis=em_nll", directory=tmp_path).code == 0
    kept = tmp_path / "findings" / "em_nll.json"
    whole = kept.read_text()
    kept.write_text(whole[: len(whole) // 2])
    again = localize("analysis=em_nll", directory=tmp_path)
    assert again.code == 0 and "not a finding that can be read" in again.out
    assert json.loads(kept.read_text())["finding"] == json.loads(whole)["finding"]


def test_the_same_seed_gives_the_same_numbers(located, tmp_path):
    ended = localize(*QUICK, "cache=false", "batch_size=5", directory=tmp_path)
    assert ended.code == 0, ended.err
    a, b = (read(folder)["analyses"] for folder in (located, tmp_path))
    assert [one["sentences"] for one in a.values()] == [one["sentences"] for one in b.values()]


def test_rows_of_each_bin_are_drawn(tmp_path):
    assert localize("analysis=em_nll", "max_per_bin=3", directory=tmp_path).code == 0
    bins = pyarrow.parquet.read_table(tmp_path / "tables" / "em_nll.parquet")["bin"].to_pylist()
    assert max(map(bins.count, set(bins))) == 3


def test_sets_by_name_are_the_groups(tmp_path, tiny_folder):
    """Whatever their EM: forget rows are looked at as memorized ones, with a warning."""
    generator = torch.Generator().manual_seed(0)
    for name, rows in (("forget", 3), ("retain", 4)):
        torch.save(torch.randint(0, 512, (rows, 20), generator=generator), tmp_path / f"{name}.pt")
    ended = localize(
        *("analysis=em_nll", "paragraphs=files", "model=local", f"model.name_or_path={tiny_folder}"),
        *(f"paragraphs.{name}={tmp_path / name}.pt" for name in ("forget", "retain")),
        directory=tmp_path / "run",
    )
    assert ended.code == 0, ended.err
    assert "memorized: 3 rows" in ended.out and "non-memorized: 4 rows" in ended.out
    assert "warning: 3 rows of the memorized group are not recited" in ended.out


def only_random_text(tmp_path, rows=4):
    ids = torch.randint(0, 512, (rows, 20), generator=torch.Generator().manual_seed(1))
    torch.save(ids, tmp_path / "random.pt")
    return f"paragraphs.path={tmp_path / 'random.pt'}"


def test_an_analysis_that_cannot_be_done_does_not_keep_the_others_from_it(tmp_path):
    """Nothing is memorized: patching needs a paragraph that is."""
    chosen = "analysis=[em_nll,activation_patching]"
    ended = localize(chosen, only_random_text(tmp_path), directory=tmp_path / "run")
    assert "activation_patching: " in ended.the_error()
    result = read(tmp_path / "run")
    assert list(result["analyses"]) == ["em_nll"] and list(result["failed"]) == ["activation_patching"]


def test_one_analysis_that_cannot_be_done_leaves_no_result(tmp_path):
    assert localize("analysis=em_nll", directory=tmp_path / "run").code == 0
    other = ("analysis=activation_patching", only_random_text(tmp_path), "overwrite=true")
    ended = localize(*other, directory=tmp_path / "run")
    assert "memorized" in ended.the_error()
    assert not (tmp_path / "run" / "localization.json").exists() and not (tmp_path / "run" / "localization.html").exists()


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["analysis=em_nul"], "em_nul"),
        (["analysis=em_nll", "max_per_bin=0"], "max_per_bin=0"),
        (["analysis=em_nll", "max_per_bin=few"], "max_per_bin=few"),
        (["analysis=em_nll", "frequency=/no/such.npy"], "/no/such.npy: no such file"),
        (["analysis=token_perturbation", "analysis.token_perturbation.replacements=many"], "replacements=many"),
        (["analysis=all", "analysis.weight_noise.fraction=0"], "fraction=0"),
        (["analysis=em_nll", "seed=-1"], "seed=-1"),
        (["analysis=em_nll", "analysis.em_nll.nothing=1"], "nothing"),
    ],
    ids=str,
)
def test_mistakes_end_with_one_line(tmp_path, overrides, says):
    assert says in localize(*overrides, directory=tmp_path).the_error()
    assert not (tmp_path / "localization.json").exists()
