"""`memunlearn push`: what it shows, what it sends, and what it refuses; against a Hub on this machine."""

import json
import shutil

import command_runs
import pytest
import yaml
from fake_hub import hub  # noqa: F401  pytest finds fixtures by their import

from memunlearn.commands.push import main
from memunlearn.models.__main__ import main as models

SECRET = ("rows.safetensors", "report.html", "paragraphs.parquet", "trajectory.parquet")


@pytest.fixture
def run(gradient_run, tmp_path):
    """A copy of a finished run with a checkpoint, that a test may change."""
    return shutil.copytree(gradient_run, tmp_path / "run")


def push(run, *options, name="me/forgetful"):
    return main([str(run), name, "--license", "mit", *options])


def test_nothing_is_sent_unless_that_is_asked_for(run, hub, capsys):  # noqa: F811
    assert push(run) == 0
    said = capsys.readouterr().out
    assert not hub.requests and not hub.repositories
    assert "nothing was sent: add --upload" in said and "private" in said
    assert "README.md" in said and f"patch.safetensors  {(run / 'patch.safetensors').stat().st_size:,} bytes" in said
    assert "# me/forgetful" in said and not any(name in said.split("---")[0] for name in SECRET)


def test_a_patch_is_sent_whole_in_private_and_without_texts(run, hub, capsys):  # noqa: F811
    assert push(run, "--upload") == 0
    assert f"sent: {hub.url}/me/forgetful/commit/" in capsys.readouterr().out
    sent = hub.repositories["me/forgetful"]
    assert sent.private and set(sent.files["main"]) == {"README.md", "patch.safetensors", "result.json", "config.yaml"}
    for name in ("patch.safetensors", "result.json"):
        assert sent.files["main"][name] == (run / name).read_bytes()
    result = command_runs.read_result(run)
    assert yaml.safe_load(sent.files["main"]["config.yaml"]) == result["config"]
    everything = b"".join(sent.files["main"].values()).decode("utf-8", "replace")
    texts = {row["continuation_before"] for row in command_runs.read_rows(run) if row["set"] == "forget"}
    assert texts and not [text for text in texts if text in everything or json.dumps(text)[1:-1] in everything]


def test_a_checkpoint_is_sent_and_loads_again(run, hub, tmp_path):  # noqa: F811
    from transformers import AutoModelForCausalLM

    assert push(run, "--checkpoint", "--public", "--upload") == 0
    sent = hub.repositories["me/forgetful"]
    assert not sent.private and "patch.safetensors" not in sent.files["main"]
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "result.json"} <= set(sent.files["main"])
    head = yaml.safe_load(sent.files["main"]["README.md"].decode().split("---")[1])
    assert "A plain checkpoint in float32" in sent.files["main"]["README.md"].decode()
    assert head["library_name"] == "transformers" and head["license"] == "mit"
    for name, content in sent.files["main"].items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(content)
    ours, theirs = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (run / "model", tmp_path / "copy"))
    assert all(bool((ours[name] == theirs[name]).all()) for name in ours)


def test_texts_go_only_where_they_are_asked_for(run, hub, capsys):  # noqa: F811
    assert push(run, "--with-texts", "--upload") == 0
    assert set(SECRET[:2]) <= set(hub.repositories["me/forgetful"].files["main"])
    assert "warning: rows.safetensors, report.html hold the texts" in capsys.readouterr().out


def test_names_of_texts_stay_here_unless_texts_are_asked_for(run, hub, capsys):  # noqa: F811
    result = command_runs.read_result(run)
    named = result | {"texts": [{"name": "letter to my doctor.txt", "columns": {"title": "private"}, "kind": "recited"}]}
    (run / "result.json").write_text(json.dumps(named))
    assert push(run, "--upload") == 0
    assert "result.json goes without the names of 1 texts" in capsys.readouterr().out
    sent = hub.repositories["me/forgetful"].files["main"]
    assert json.loads(sent["result.json"]) == result and b"doctor" not in b"".join(sent.values())
    assert push(run, "--with-texts", "--upload") == 0
    assert json.loads(sent["result.json"]) == named


def test_what_is_public_gets_nothing_that_should_be_private(run, hub, capsys):  # noqa: F811
    assert push(run, "--public", "--upload") == 0
    before = dict(hub.repositories["me/forgetful"].files["main"])
    assert push(run, "--upload") == 2
    assert "me/forgetful is there already, for everybody to see: add --public" in capsys.readouterr().err
    assert hub.repositories["me/forgetful"].files["main"] == before
    assert push(run, "--public", "--upload") == 0


def test_a_hub_that_refuses_is_one_line(run, hub, capsys):  # noqa: F811
    hub.refuse = 403
    assert push(run, "--upload") == 2
    said = capsys.readouterr().err
    assert said.count("error: ") == 1 and "me/forgetful was not sent (" in said and "hf auth login" in said
    assert "Traceback" not in said


def test_what_diverged_is_said(run, hub, capsys):  # noqa: F811
    result = command_runs.read_result(run)
    (run / "result.json").write_text(json.dumps(result | {"stopped_because": "nan"}))
    assert push(run) == 0
    said = capsys.readouterr().out
    assert "warning: this run diverged" in said and "**This run diverged**" in said


def test_places_on_this_machine_are_named(run, hub, capsys):  # noqa: F811
    result = command_runs.read_result(run)
    result["config"]["model"]["name_or_path"] = "/home/me/model"
    result["config"]["paragraphs"]["forget"] = str(run / "patch.safetensors")
    (run / "result.json").write_text(json.dumps(result))
    assert push(run) == 0
    said = capsys.readouterr().out
    assert f"model.name_or_path=/home/me/model, paragraphs.forget={run}/patch.safetensors" in said
    assert "base_model" not in said and "give it with --base-model" in said
    assert push(run, "--base-model", "some/base") == 0
    assert "base_model: some/base" in (said := capsys.readouterr().out) and "--base some/base --patch me/forgetful" in said


def test_folders_that_are_no_finished_run_are_refused(run, hub, tmp_path, capsys):  # noqa: F811
    def refused(folder, *options, name="me/forgetful"):
        assert push(folder, *options, name=name) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1, said
        return said

    assert "no such folder" in refused(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "has no result.json, so it is no finished run" in refused(tmp_path / "empty")
    (tmp_path / "empty" / "checkpoints").mkdir()
    assert "an unfinished run: finish it with resume=true" in refused(tmp_path / "empty")
    for name in ("forgetful", "a/b/c", "me/for getful"):
        assert "is no name on the Hub" in refused(run, name=name)
    shutil.rmtree(run / "model")
    assert "save_model=true, or make it with memunlearn apply" in refused(run, "--checkpoint")
    (run / "patch.safetensors").write_bytes((run / "patch.safetensors").read_bytes()[:-9])
    assert "patch.safetensors is not a readable safetensors file" in refused(run)
    (run / "patch.safetensors").unlink()
    assert "leaves a patch a trial" in refused(run)
    (run / "result.json").write_text('{"config": {}, "before": 3}')
    assert "result.json cannot be read" in refused(run)
    assert not hub.repositories


def test_a_patch_that_was_pushed_is_judged_and_applied_by_its_name(run, hub, tiny_folder, tmp_path, monkeypatch, capsys):  # noqa: F811
    assert push(run, "--upload") == 0
    judged = command_runs.run("evaluate", "patch=me/forgetful", "accelerator=cpu", directory=tmp_path / "judged")
    assert judged.code == 0, judged.err
    after = command_runs.read_result(run)["after"]["forget"]
    sets = command_runs.read_result(tmp_path / "judged", "evaluation.json")["sets"]
    assert sets["forget"]["n"] == after["n"] and sets["forget"]["em"] == pytest.approx(after["em"])
    assert "rows of the run, from" in judged.out and "beside the patch" not in judged.out  # the demo makes them again
    capsys.readouterr()
    assert models(["apply", "--base", str(tiny_folder), "--patch", "hub://me/forgetful", "--out", str(tmp_path / "baked")]) == 0
    ours, theirs = ((folder / "model.safetensors").read_bytes() for folder in (run / "model", tmp_path / "baked"))
    assert ours == theirs


def test_rows_that_were_shared_are_beside_the_patch(run, hub, tmp_path):  # noqa: F811
    assert push(run, "--with-texts", "--upload") == 0
    judged = command_runs.run("evaluate", "patch=hub://me/forgetful", "accelerator=cpu", directory=tmp_path / "judged")
    assert judged.code == 0, judged.err
    assert "rows of the run, from rows.safetensors beside the patch" in judged.out


def test_a_patch_that_is_nowhere_is_one_line(hub, tmp_path):  # noqa: F811
    line = command_runs.run("evaluate", "patch=me/nowhere", directory=tmp_path / "judged").the_error()
    assert "me/nowhere: there is no such file here, and no such model on the Hub" in line


@pytest.mark.slow
def test_the_command_answers_as_a_process(run, hub, tmp_path):  # noqa: F811
    ended = command_runs.real("-m", "memunlearn", "push", run, "me/forgetful", "--license", "mit", "--upload")
    assert ended.code == 0 and "sent: " in ended.out, ended.err
    assert hub.repositories["me/forgetful"].private
    helped = command_runs.real("-X", "importtime", "-m", "memunlearn", "push", "--help")
    assert helped.code == 0 and "--with-texts" in helped.out and "torch" not in helped.err
