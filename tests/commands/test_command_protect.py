"""paragraphs.protect: a share of the bystanders joins the loss, and all else stays as it was; near told apart; few rows."""

import command_runs
import numpy as np
import pytest
import torch
from judged_patches import assert_judged, judge, save, sets_of
from safetensors.torch import load_file

from memunlearn.results.tables import SET_ORDER


@pytest.fixture
def protected_run(finished_run):
    """As gradient_run, with half of the three bystanders protected."""
    return finished_run("protected", "paragraphs.protect=0.5")


def test_bystanders_become_protected_and_every_other_row_keeps_its_role(gradient_run, protected_run):
    plain, rows = load_file(gradient_run / "rows.safetensors"), load_file(protected_run / "rows.safetensors")
    assert "protected" not in plain and rows.keys() == plain.keys() | {"protected"}
    for name in plain.keys() - {"bystander"}:
        assert torch.equal(rows[name], plain[name]), name
    both = torch.cat([rows["bystander"], rows["protected"]])
    assert sorted(both.tolist()) == sorted(plain["bystander"].tolist()) and len(rows["protected"]) == 2
    result, before = command_runs.read_result(protected_run), command_runs.read_result(gradient_run)
    for when in ("before", "after"):
        assert result[when].keys() == before[when].keys() == set(SET_ORDER)
    assert result["before"]["bystander"]["n"] == 1 and result["before"]["forget"] == before["before"]["forget"]
    # They were in the loss: the same steps on the same rows otherwise gave another change.
    one, other = load_file(gradient_run / "patch.safetensors"), load_file(protected_run / "patch.safetensors")
    assert all(torch.equal(one[name], other[name]) for name in one if name.endswith(".indices"))
    assert not all(torch.equal(one[name], other[name]) for name in one if name.endswith(".delta"))
    assert {row["set"] for row in command_runs.read_rows(protected_run)} == {"forget", "bystander", "retain"}
    assert "protected: 2 rows in 2 clusters" in protected_run.with_name("protected.terminal.txt").read_text()


def test_the_share_of_a_batch_is_that_of_the_loss(protected_run, tmp_path):
    """The same protected rows, one of four to keep in each batch instead of two."""
    ended = command_runs.train("paragraphs.protect=0.5", "paragraphs.protected_share=0.25", directory=tmp_path)
    assert ended.code == 0, ended.err
    assert torch.equal(*(load_file(run / "rows.safetensors")["protected"] for run in (tmp_path, protected_run)))
    one, other = (load_file(run / "patch.safetensors") for run in (tmp_path, protected_run))
    assert not all(torch.equal(one[name], other[name]) for name in one if name.endswith(".delta"))


def test_its_patch_is_judged_with_protected_rows_apart(protected_run, tmp_path):
    out = assert_judged(protected_run / "patch.safetensors", protected_run, directory=tmp_path / "whole")
    assert "protected 2 of 2" in out and sets_of(tmp_path / "whole")["protected"]["n"] == 2
    # Without the run's rows beside it they are found in the demo, by their hashes.
    patch = tmp_path / "patch.safetensors"
    patch.write_bytes((protected_run / "patch.safetensors").read_bytes())
    assert "protected 2 of 2" in assert_judged(patch, protected_run, directory=tmp_path / "alone")


def test_evaluate_makes_the_same_sets(protected_run, tmp_path):
    ended = command_runs.evaluate("paragraphs.protect=0.5", directory=tmp_path)
    assert ended.code == 0, ended.err
    rows = load_file(protected_run / "rows.safetensors")
    shown = command_runs.read_rows(tmp_path)
    for name in ("protected", "bystander", "bystander_val"):
        assert sum(row["set"] == name for row in shown) == len(rows[name]), name


def test_a_sweep_compares_runs_with_and_without(tmp_path):
    swept = command_runs.train("paragraphs.protect=0.0,0.5", "stop.max_steps=2", directory=tmp_path, where="sweep")
    assert swept.code == 0, swept.err
    shares = [command_runs.read_result(tmp_path / job)["config"]["paragraphs"]["protect"] for job in "01"]
    assert shares == [0.0, 0.5]
    told = (tmp_path / "sweep.md").read_text()
    assert "protect=0.0" in told and "protect=0.5" in told
    again = command_runs.train("paragraphs.protect=0.0,0.5", "stop.max_steps=2", directory=tmp_path, where="sweep")
    assert again.code == 0 and again.out.count("skipped: this job is complete") == 2


def test_memorized_rows_given_by_name_are_protected_by_share_and_by_file(tiny_folder, tmp_path):
    rows = load_file(tiny_folder / "corpus.safetensors")
    memorized = rows["memorized"]
    files = {"forget": memorized[:2], "bystander": memorized[2:7], "protected": memorized[7:], "retain": rows["unseen"]}
    named = [f"paragraphs.{name}={save(ids, tmp_path / f'{name}.pt')}" for name, ids in files.items()]
    model = ("model=local", f"model.name_or_path={tiny_folder}", "paragraphs=files")
    ended = command_runs.train(*model, *named, "paragraphs.protect=0.5", "stop.max_steps=2", directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    kept = load_file(tmp_path / "run" / "rows.safetensors")
    assert [len(kept[name]) for name in ("bystander", "bystander_val", "protected")] == [2, 1, 3]
    assert memorized[7].tolist() in kept["protected"].tolist()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("paragraphs.protect=1.5",), "paragraphs.protect=1.5 is not a share"),
        (("paragraphs.protect=half",), "paragraphs.protect=half must be a number"),
        (("paragraphs.protect=0.1",), "paragraphs.protect=0.1 of 3 clusters of bystanders protects none"),
        (("paragraphs.protect=0.5", "paragraphs.max_bystander=0"), "of 0 clusters of bystanders protects none"),
        (("paragraphs.protect=0.5", "paragraphs.protected_share=1.0"), "paragraphs.protected_share=1.0"),
        (("paragraphs.protect=0.5", "batch_size=1"), "a larger batch_size"),
        (("paragraphs.protect=0.5", "protocol=per_paragraph"), "leave out paragraphs.protected and paragraphs.protect"),
    ],
)
def test_what_cannot_be_protected_is_one_line(tmp_path, settings, says):
    assert says in command_runs.train(*settings, directory=tmp_path / "run").the_error()


FEW = ("stop.max_steps=4", "stop.every=2")


EDIT = ("objective=edit", "objective.replacements=8", "accumulate=2", *FEW)
OWN = ("paragraphs.forget_text=own", "attribution=fisher", *FEW)
TRIAL = ("protocol=per_paragraph", "protocol.trials=1", "protocol.steps=2", "protocol.retain_batch=2")


@pytest.mark.parametrize(
    ("rows", "settings"),
    [(1, FEW), (2, FEW), (2, EDIT), (1, OWN), (2, OWN), (1, TRIAL), (2, TRIAL)],  # one row may have no alternative to edit to
    ids=["unlearn-1", "unlearn-2", "edit-2", "own-1", "own-2", "per_paragraph-1", "per_paragraph-2"],
)
def test_a_forget_set_of_a_row_or_two(tmp_path, rows, settings):
    ended = command_runs.train(f"paragraphs.max_forget={rows}", *settings, directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    result = ended.result
    trial = "protocol=per_paragraph" in settings
    forget = result["after"]["forget"]
    assert forget["n"] == (1 if trial else rows) and forget["em_ci"] is None and "em" in forget["interval_note"]
    em = [row["em_after"] for row in command_runs.read_rows(tmp_path / "run") if row["set"] == "forget"]
    assert forget["em_p95"] == pytest.approx(np.percentile(em, 95))
    others = {name: result["after"][name] and result["after"][name]["n"] for name in ("bystander", "near")}
    if trial:
        assert others == {"bystander": None, "near": None}  # those would be other trials' paragraphs
    else:
        judged = judge(tmp_path / "run" / "patch.safetensors", directory=tmp_path / "judged")
        assert judged.code == 0 and sets_of(tmp_path / "judged")["forget"]["em"] == forget["em"]
        assert others["bystander"] == (6 if "paragraphs.forget_text=own" in settings or rows == 1 else 5)


@pytest.fixture
def relatives(tiny_folder, tmp_path):
    """Files of 40 tokens a row: four forget rows; bystanders that have the prefix of the first with other text after it, the
    continuation of the second after another prefix, and nothing of either, four times."""
    rows = load_file(tiny_folder / "corpus.safetensors")
    forget = rows["memorized"].reshape(4, 40)
    other = rows["background"][:12].reshape(6, 40)
    near = torch.cat([torch.cat([forget[:1, :20], other[:1, 20:]], 1), torch.cat([other[1:2, :20], forget[1:2, 20:]], 1)])
    files = {"forget": forget, "bystander": torch.cat([near, other[2:]]), "retain": rows["unseen"].reshape(-1, 40)}
    named = [f"paragraphs.{name}={save(ids, tmp_path / f'{name}.pt')}" for name, ids in files.items()]
    lengths = ("paragraphs.prefix_length=20", "paragraphs.continuation_length=20")
    return ("model=local", f"model.name_or_path={tiny_folder}", "paragraphs=files", *named, *lengths)


def test_near_rows_are_told_apart_by_whether_forgotten_text_is_in_them(relatives, tmp_path):
    run = tmp_path / "run"
    ended = command_runs.train(*relatives, *FEW, "stop.max_kl=1000", "optimizer.lr=0.03", directory=run)
    assert ended.code == 0, ended.err
    shown = [row for row in command_runs.read_rows(run) if row["set"] == "near"]
    assert [(row["origin"], row["holds_forgotten"]) for row in shown] == [("bystander.pt:0", False), ("bystander.pt:1", True)]
    assert all(row["holds_forgotten"] is None for row in command_runs.read_rows(run) if row["set"] != "near")
    for when in ("before", "after"):
        entries = {name: ended.result[when][name] for name in ("near", "near_forgotten", "near_other")}
        assert [stats["n"] for stats in entries.values()] == [2, 1, 1]
        for name, row in (("near_other", shown[0]), ("near_forgotten", shown[1])):
            assert entries[name]["nll"] == pytest.approx(row[f"nll_{when}"], rel=1e-6)
            assert entries[name]["longest_common_run_n"] == 1
    curve = (run / "metrics.csv").read_text()
    assert "after/near_forgotten/em" in curve and "before/near_other/nll" in curve
    page = (run / "report.html").read_text()
    assert "near_forgotten" in page and "1 row holding forgotten text" in page
    assert_judged(run / "patch.safetensors", run, directory=tmp_path / "judged")
    assert [row["holds_forgotten"] for row in command_runs.read_rows(tmp_path / "judged") if row["set"] == "near"] == [
        False,
        True,
    ]


def test_where_forget_rows_are_lacking_no_near_row_is_said_to_hold_nothing_of_them(relatives, tmp_path):
    run = tmp_path / "run"
    assert command_runs.train(*relatives, *FEW, directory=run).code == 0
    patch = tmp_path / "patch.safetensors"
    patch.write_bytes((run / "patch.safetensors").read_bytes())
    forget = torch.load(tmp_path / "forget.pt", weights_only=True)
    save(torch.cat([forget[:2], torch.load(tmp_path / "bystander.pt", weights_only=True)]), tmp_path / "corpus.pt")
    (tmp_path / "forget.pt").unlink()
    judged = judge(patch, "paragraphs=files", f"paragraphs.path={tmp_path}/corpus.pt", directory=tmp_path / "judged")
    assert judged.code == 0 and "forget 2 of 4" in judged.out, judged.err
    sets = sets_of(tmp_path / "judged")
    assert sets["near"]["n"] == 2 and sets["near_forgotten"]["n"] == 1 and sets["near_other"] is None
