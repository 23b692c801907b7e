"""memunlearn takedown: from files to a certificate and a plain checkpoint, judged by plain greedy decoding from every token."""

import json
import shutil

import command_runs
import named_letters
import pytest

from memunlearn import compose, takedown


@pytest.fixture(scope="module")
def letters(tiny_folder, tmp_path_factory):
    return named_letters.written(tmp_path_factory.mktemp("their own"), tiny_folder)


@pytest.fixture(scope="module")
def done(letters, tiny_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("taken down") / "out"
    finished = command_runs.run("takedown", *named_letters.overrides(letters, tiny_folder), directory=out)
    assert finished.code == 0, finished.err
    return finished


def found(directory, stage):
    return {text["name"]: text for text in json.loads((directory / stage / "find.json").read_text())["texts"]}


def test_every_recited_span_is_found_and_none_is_left(done, letters, tiny_folder):
    before, after = found(done.directory, "1-find"), found(done.directory, "3-find-after")
    there = set()
    for name, text in named_letters.texts_of(letters).items():
        starts = named_letters.recited(tiny_folder, text)
        spans = {token for span in before[name]["spans"] for token in range(span["start"], span["end"])}
        assert spans == named_letters.tokens_of(starts), name
        there |= {name} if starts else set()
        assert not named_letters.recited(done.directory / "model", text), name
        assert not after[name]["spans"], name
    assert there == set(named_letters.RECITED)
    result = command_runs.read_result(done.directory, "takedown.json")
    assert set(result["texts"]["recited"]) == there
    assert result["texts"]["not_recited"] == ["never.txt"] and result["texts"]["too_short"] == ["tiny.txt"]
    assert result["texts"]["left"] == []


def test_the_checkpoint_is_the_trained_one_and_once_on_disk(done):
    trained, shipped = (done.directory / folder / "model.safetensors" for folder in ("2-unlearn/model", "model"))
    assert trained.samefile(shipped)


def test_the_certificate_names_the_texts_without_their_words(done, letters):
    page = (done.directory / "certificate.html").read_text("utf-8")
    for name, text in named_letters.texts_of(letters).items():
        assert name in page
        assert text.strip()[:40] not in page
    assert page == (done.directory / "4-attacks" / "certificate.html").read_text("utf-8")


def test_no_search_of_the_same_model_is_made_twice(done):
    """The search of 1-find is the one that training goes by; that of the changed model is another."""
    stages = done.out.split("\n1-find: ")[1].split("\n2-unlearn: ")
    training, after = stages[1].split("\n3-find-after: ")
    assert "screening texts" not in training and "searches (1)" in training
    assert "searches" not in after.split("\n4-attacks: ")[0]


def test_the_terminal_says_what_lies_where(done):
    assert "4 of 6 texts recited by the original model" in done.out
    assert "not recited, so neither trained on nor reported: never.txt" in done.out
    assert "too short to be asked for: tiny.txt" in done.out
    assert "recited after unlearning: nothing" in done.out
    assert "model/" in done.out.rpartition(f"in {done.directory}:")[2]


@pytest.fixture
def copy(done, tmp_path):
    """Of the whole folder at the same place, so that tests leave it as it was."""
    shutil.copytree(done.directory, tmp_path / "kept")
    yield done.directory
    shutil.rmtree(done.directory)
    shutil.move(tmp_path / "kept", done.directory)


def written_at(directory):
    return {
        str(file.relative_to(directory)): file.stat().st_mtime_ns
        for file in directory.rglob("*")
        if file.is_file() and file.suffix != ".log"
    }


def test_complete_it_is_not_done_again(copy, letters, tiny_folder):
    before = written_at(copy)
    again = command_runs.run("takedown", *named_letters.overrides(letters, tiny_folder), directory=copy)
    assert again.code == 0, again.err
    assert "is complete already" in again.out and "recited after unlearning: nothing" in again.out
    assert written_at(copy) == before


def test_a_stage_that_is_missing_is_done_again_alone(copy, letters, tiny_folder):
    before = written_at(copy)
    shutil.rmtree(copy / "4-attacks")
    (copy / "takedown.json").unlink()
    again = command_runs.run("takedown", *named_letters.overrides(letters, tiny_folder), directory=copy)
    assert again.code == 0, again.err
    now = written_at(copy)
    earlier = ("1-find/find.json", "2-unlearn/result.json", "2-unlearn/patch.safetensors", "3-find-after/find.json")
    assert all(now[name] == before[name] for name in earlier)
    assert now["4-attacks/evaluation.json"] != before["4-attacks/evaluation.json"]
    assert (copy / "takedown.json").is_file() and (copy / "certificate.html").is_file()


def test_other_settings_in_the_same_folder_are_refused(done, letters, tiny_folder):
    before = written_at(done.directory)
    other = command_runs.run("takedown", *named_letters.overrides(letters, tiny_folder, "seed=1"), directory=done.directory)
    assert str(done.directory) in other.the_error()
    assert written_at(done.directory) == before


def test_nothing_recited_is_certified_in_short_and_nothing_is_trained(letters, tiny_folder, tmp_path):
    quiet = command_runs.run(
        "takedown", *named_letters.overrides(letters / "never.txt", tiny_folder), directory=tmp_path / "out"
    )
    assert quiet.code == 0, quiet.err
    assert "nothing was found to remove: no model was made" in quiet.out
    page = (tmp_path / "out" / "certificate.html").read_text("utf-8")
    assert "never.txt" in page
    assert not (tmp_path / "out" / "model").exists() and not (tmp_path / "out" / "2-unlearn").exists()
    result = command_runs.read_result(tmp_path / "out", "takedown.json")
    assert result["texts"] == {"recited": [], "not_recited": ["never.txt"], "too_short": [], "left": None}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("texts=null", "texts is not set"),
        ("texts=/no/such/letters", "/no/such/letters"),
        ("model.name_or_path=null", "model.name_or_path is not set"),
        ("model.name_or_path=/no/such/model", "/no/such/model"),
        ("unlearn=[model=x]", "takedown sets model itself"),
        ("unlearn=[seed=1]", "takedown sets seed itself"),
        ("unlearn=[stop]", "must be a list of settings"),
        ("unlearn=[stop.max_step=5]", "2-unlearn (train)"),
        ("attacks=[none_such]", "none_such"),
        ("evaluate=[patch=x]", "takedown sets patch itself"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_done(letters, tiny_folder, tmp_path, more, said):
    refused = command_runs.run("takedown", *named_letters.overrides(letters, tiny_folder, more), directory=tmp_path / "out")
    assert said in refused.the_error()
    left = {file.name for file in (tmp_path / "out").rglob("*") if file.is_file() and file.parent.name != ".hydra"}
    assert left <= {".lock", "takedown.log"}


def test_from_python(letters, tiny_folder, tmp_path):
    cfg = compose("takedown", *named_letters.overrides(letters / "never.txt", tiny_folder))
    made = takedown(cfg, tmp_path / "out")
    assert made.directory == tmp_path / "out"
    assert made.result == command_runs.read_result(made.directory, "takedown.json")
    assert made.result["environment"]["command"] is None
