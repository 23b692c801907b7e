"""evaluate.py patch=FILE reports the very sets of the run that made the patch, wherever files have gone since."""

import json
import shutil

import command_runs
import pytest
import torch
from filelock import FileLock
from judged_patches import assert_judged, assert_same, judge, rewritten, save, sets_of
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoTokenizer

EDIT = (
    "objective=edit",
    "objective.replacements=8",
    "objective.forget_weight=1",
    "objective.retain_weight=1",
    "mask=all",
    "optimizer.lr=0.002",
    "stop.max_steps=8",
)


@pytest.fixture
def rows(tiny_folder):
    return load_file(tiny_folder / "corpus.safetensors")


def named_files(folder, rows):
    """Sets by name: 4 forget rows, 4 bystanders of which one is a copy of a forget row (near), and unseen rows."""
    bystander = torch.cat([rows["memorized"][4:7], rows["memorized"][1:2]])
    files = {"forget": rows["memorized"][:4], "bystander": bystander, "retain": rows["unseen"]}
    folder.mkdir(parents=True, exist_ok=True)
    return [f"paragraphs.{name}={save(ids, folder / f'{name}.pt')}" for name, ids in files.items()]


def corpus(rows):
    return torch.cat([rows["unseen"], rows["background"][:12], rows["memorized"]])


@pytest.fixture
def edited(finished_run, rows, tiny_folder, shared_folder):
    """An edit of all weights on sets by name: (its folder, that of its input files). One test at a time: some move files."""
    files = shared_folder / "files of the edit"
    model = ("model=local", f"model.name_or_path={tiny_folder}", "paragraphs=files")
    with FileLock(shared_folder / "files of the edit.lock"):
        yield finished_run("edited by name", *model, *named_files(files, rows), *EDIT, "seed=2"), files


def moved(run, tmp_path):
    return shutil.copytree(run, tmp_path / "moved (2=3)")


def metadata_of(patch):
    with safe_open(patch, "pt") as file:
        return file.metadata()


def test_alone_it_gives_the_runs_after(gradient_run, tmp_path):
    out = assert_judged(gradient_run / "patch.safetensors", gradient_run, directory=tmp_path)
    assert "forget 4 of 4" in out and "retain_train" in out
    result = command_runs.read_result(tmp_path, "evaluation.json")
    assert result["roles"]["forget"] == {"found": 4, "of": 4}
    told = {(row["set"], row["index"]): row for row in command_runs.read_rows(gradient_run)}
    judged = {(row["set"], row["index"]): row for row in command_runs.read_rows(tmp_path)}
    assert told.keys() <= judged.keys()
    for place, row in told.items():
        assert judged[place]["em"] == row["em_after"] and judged[place]["origin"] == row["origin"]
        assert judged[place]["cluster"] == row["cluster"]


def test_an_edit_with_bystanders_and_near_rows_after_the_folder_was_moved_and_the_files_deleted(edited, tmp_path):
    run, files = edited
    folder = moved(run, tmp_path)
    hidden = files.rename(files.with_name("away"))
    try:
        out = assert_judged(folder / "patch.safetensors", run, directory=tmp_path / "judged")
    finally:
        hidden.rename(files)
    assert "forget, EM with the alternative: " in out
    after = command_runs.read_result(run)["after"]
    assert after["near"]["n"] == 1 and after["bystander"]["n"] == 3 and after["forget"]["alternative_em"] > 0
    told = sets_of(tmp_path / "judged")["forget"]["alternatives"]
    assert told == after["forget"]["alternatives"] > 1


def test_without_the_rows_beside_it_the_runs_own_files_are_read(edited, tmp_path):
    run, _ = edited
    patch = shutil.copy(run / "patch.safetensors", tmp_path)
    ended = judge(patch, directory=tmp_path / "judged")
    assert ended.code == 0 and "alternative_em is not known" in ended.out
    after = command_runs.read_result(run)["after"]
    after["forget"] = {key: value for key, value in after["forget"].items() if "alternative" not in key}
    assert_same(sets_of(tmp_path / "judged"), after)


def test_a_corpus_is_searched_by_hash_and_what_the_patch_does_not_know_is_unknown(edited, rows, tmp_path):
    run, files = edited
    path = save(corpus(rows), tmp_path / "corpus.pt")
    hidden = files.rename(files.with_name("away"))
    try:
        for name, place in (("beside", run), ("alone", tmp_path)):
            patch = run / "patch.safetensors" if place == run else shutil.copy(run / "patch.safetensors", tmp_path)
            ended = judge(patch, f"paragraphs.path={path}", directory=tmp_path / name)
            assert ended.code == 0, ended.err
            sets, after = sets_of(tmp_path / name), command_runs.read_result(run)["after"]
            for kind in ("forget", "bystander", "near", "retain"):
                assert sets[kind]["em"] == after[kind]["em"] and sets[kind]["n"] == after[kind]["n"]
            # 12 rows that the model has seen and one memorized row stood in no set of the run.
            assert sets["unknown"]["n"] == 13 and "none" not in sets
            assert "13 of them in no role" in ended.out and "forget 4 of 4" in ended.out
    finally:
        hidden.rename(files)


def test_part_of_the_rows_is_reported_as_part(edited, rows, tmp_path):
    run, files = edited
    patch = shutil.copy(run / "patch.safetensors", tmp_path)
    path = save(torch.cat([rows["memorized"][2:4], rows["unseen"]]), tmp_path / "corpus.pt")
    hidden = files.rename(files.with_name("away"))
    try:
        ended = judge(patch, "paragraphs=files", f"paragraphs.path={path}", directory=tmp_path / "judged")
    finally:
        hidden.rename(files)
    assert ended.code == 0 and "forget 2 of 4" in ended.out and "bystander 0 of 3" in ended.out
    sets = sets_of(tmp_path / "judged")
    assert sets["forget"]["n"] == 2 and sets["bystander"] is None and sets["near"] is None
    assert [row["origin"] for row in command_runs.read_rows(tmp_path / "judged")][:2] == ["corpus.pt:0", "corpus.pt:1"]


def test_none_of_the_rows_is_one_line(edited, rows, tmp_path):
    run, files = edited
    patch = shutil.copy(run / "patch.safetensors", tmp_path)
    path = save(rows["background"][:9], tmp_path / "corpus.pt")
    hidden = files.rename(files.with_name("away"))
    try:
        for others in ([], [f"paragraphs.path={path}"]):
            line = judge(patch, *others, directory=tmp_path / "judged").the_error()
            assert "rows.safetensors" in line and "paragraphs.path=" in line
            assert not (tmp_path / "judged" / "evaluation.json").exists()
    finally:
        hidden.rename(files)


@pytest.mark.parametrize("damage", ["an id", "other rows", "cut short"])
def test_rows_that_do_not_match_the_hashes_are_not_believed(edited, tmp_path, damage):
    run, _ = edited
    folder = moved(run, tmp_path)
    path = folder / "rows.safetensors"

    def change(tensors, metadata):
        if damage == "an id":
            tensors["forget"][0, -1] += 1
        else:
            tensors["forget"] = tensors["retain"][:4].clone()

    rewritten(run / "rows.safetensors", path, change)
    if damage == "cut short":
        path.write_bytes((run / "rows.safetensors").read_bytes()[:-8])
    ended = judge(folder / "patch.safetensors", directory=tmp_path / "judged")
    assert ended.code == 0 and "not used" in ended.out and str(path) in ended.out
    sets, after = sets_of(tmp_path / "judged"), command_runs.read_result(run)["after"]
    assert {name: stats and stats["em"] for name, stats in sets.items() if name in after} == {
        name: stats and stats["em"] for name, stats in after.items()
    }


def test_the_patch_holds_no_text_and_no_ids(edited, rows, tiny_folder):
    run, _ = edited
    content = (run / "patch.safetensors").read_bytes()
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    for name, ids in load_file(run / "rows.safetensors").items():
        for row in ids[:5]:
            assert row.numpy().tobytes() not in content, name
            assert ", ".join(str(token) for token in row.tolist()[:3]).encode() not in content
            assert tokenizer.decode(row.tolist()).encode() not in content
    metadata = metadata_of(run / "patch.safetensors")
    hashes = json.loads(metadata["roles"])
    assert {name: len(members) for name, members in hashes.items()}["forget"] == 4
    assert all(len(known) == 64 for members in hashes.values() for known in members)
    assert json.loads(metadata["config"])["seeds"]["split"] == 2


def test_each_trial_of_a_per_paragraph_run_has_roles_of_its_own(finished_run, tmp_path):
    settings = ("protocol=per_paragraph", "protocol.trials=3", "protocol.steps=2", "protocol.retain_batch=3", "demo.seed=0")
    run = finished_run("three trials", *settings)
    told = command_runs.read_rows(run)
    for trial in range(3):
        patch = run / "patches" / f"trial_{trial:03d}.safetensors"
        ended = judge(patch, directory=tmp_path / str(trial))
        assert ended.code == 0 and "forget 1 of 1, bystander 2 of 2" in ended.out
        judged = command_runs.read_rows(tmp_path / str(trial))
        for name in ("forget", "bystander", "retain_train", "retain"):
            expected = [(row["origin"], row["em_after"]) for row in told if row["set"] == name and row["trial"] == trial]
            assert [(row["origin"], row["em"]) for row in judged if row["set"] == name] == expected, name
    alone = shutil.copy(run / "patches" / "trial_001.safetensors", tmp_path)
    assert judge(alone, directory=tmp_path / "alone").code == 0
    assert sets_of(tmp_path / "alone") == sets_of(tmp_path / "1")


def test_a_patch_without_roles_says_so_and_is_split_as_its_run_was(gradient_run, tmp_path):
    def forget_roles(tensors, metadata):
        for name in ("roles", "clusters"):
            del metadata[name]

    rewritten(gradient_run / "patch.safetensors", tmp_path / "old.safetensors", forget_roles)
    out = assert_judged(tmp_path / "old.safetensors", gradient_run, directory=tmp_path / "judged")
    assert "does not say which rows played which role" in out
    assert command_runs.read_result(tmp_path / "judged", "evaluation.json")["roles"] is None


def test_a_patch_without_a_config_is_judged_on_the_rows_that_are_configured(gradient_run, tmp_path):
    """Such as one that was saved in a notebook."""
    rewritten(
        gradient_run / "patch.safetensors", tmp_path / "note.safetensors", lambda _, metadata: metadata.update(config="{}")
    )
    ended = command_runs.evaluate(f"patch={tmp_path}/note.safetensors", directory=tmp_path / "judged")
    assert ended.code == 0 and "from those named: forget 4 of 4" in ended.out
    assert_same(sets_of(tmp_path / "judged"), command_runs.read_result(gradient_run)["after"])


def test_another_base_is_refused_before_anything_is_scored(edited, tmp_path, monkeypatch):
    import tiny_architectures

    run, _ = edited
    tiny_architectures.tiny_model("gpt2").save_pretrained(tmp_path / "other")
    monkeypatch.setattr("memunlearn.commands.base_measurements.measure_base", None)
    given = ("model=local", f"model.name_or_path={tmp_path}/other")
    line = judge(run / "patch.safetensors", *given, directory=tmp_path / "judged").the_error()
    assert "another base model" in line


def test_the_base_may_have_moved_and_an_explicit_setting_wins(edited, tiny_folder, tmp_path):
    run, _ = edited
    base = shutil.copytree(tiny_folder, tmp_path / "base")
    given = ("model=local", f"model.name_or_path={base}", "seed=5")
    ended = judge(run / "patch.safetensors", *given, directory=tmp_path / "judged")
    assert ended.code == 0 and str(base) in ended.out
    config = command_runs.read_result(tmp_path / "judged", "evaluation.json")["config"]
    assert config["model"]["name_or_path"] == str(base) and config["seed"] == 5 and config["paragraphs"]["prefix_length"] == 10


@pytest.mark.parametrize(
    ("group", "content"),
    [
        ("model", {"_target_": "pathlib.Path.touch", "self": {"_target_": "pathlib.Path", "_args_": ["{there}"]}}),
        ("paragraphs", {"source": {"_target_": "os.mkdir", "path": "{there}"}, "prefix_length": 10, "continuation_length": 10}),
        ("model", {"_target_": "memunlearn.models.ModelSource", "name_or_path": "${oc.env:HOME}"}),
    ],
)
def test_what_a_strangers_patch_names_is_not_run(gradient_run, tmp_path, group, content):
    there = tmp_path / "there"
    content = json.loads(json.dumps(content).replace("{there}", str(there)))

    def change(tensors, metadata):
        metadata["config"] = json.dumps({**json.loads(metadata["config"]), group: content})

    rewritten(gradient_run / "patch.safetensors", tmp_path / "patch.safetensors", change)
    line = judge(tmp_path / "patch.safetensors", directory=tmp_path / "judged").the_error()
    assert f"{tmp_path / 'patch.safetensors'}: {group}" in line
    assert "which no config of this project offers" in line or "refers to nothing" in line
    assert not there.exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", ["demo", "corpus", "named", "all weights", "own text"])
def test_every_kind_of_run_for_three_seeds(tmp_path, tiny_folder, rows, kind, seed):
    """Alone; after the run's folder was moved; and (but for own text) from a moved corpus with rows.safetensors deleted."""
    files = tmp_path / "files"
    files.mkdir()
    path = save(corpus(rows), files / "corpus.pt")
    local = ("model=local", f"model.name_or_path={tiny_folder}", "paragraphs=files")
    settings = {
        "demo": (),
        "corpus": (*local, f"paragraphs.path={path}", "objective=edit", "objective.replacements=8"),
        "named": (*local, *named_files(files, rows)),
        "all weights": ("mask=all", "optimizer.lr=0.001", "paragraphs.max_forget=3"),
        "own text": (*local, f"paragraphs.path={path}", "paragraphs.forget_text=own"),
    }[kind]
    run = tmp_path / "run"
    assert command_runs.train(*settings, f"seed={seed}", directory=run).code == 0
    assert_judged(run / "patch.safetensors", run, directory=tmp_path / "alone")
    folder = moved(run, tmp_path)
    shutil.rmtree(run)
    assert_judged(folder / "patch.safetensors", folder, directory=tmp_path / "from another place")
    files.rename(tmp_path / "files elsewhere")
    given = f"paragraphs.path={tmp_path}/files elsewhere/corpus.pt".replace("files elsewhere", "files\\ elsewhere")
    assert_judged(folder / "patch.safetensors", folder, given, directory=tmp_path / "with a corpus")
    if kind == "own text":
        return
    (folder / "rows.safetensors").unlink()
    assert judge(folder / "patch.safetensors", given, directory=tmp_path / "by hash").code == 0
    sets, after = sets_of(tmp_path / "by hash"), command_runs.read_result(folder)["after"]
    for name in ("forget", "bystander", "near", "retain"):
        assert (sets[name] is None) == (after[name] is None)
        if sets[name] is not None:
            assert abs(sets[name]["em"] - after[name]["em"]) < 0.05 and sets[name]["n"] == after[name]["n"]
