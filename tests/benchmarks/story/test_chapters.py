"""The story's commands, one after the other."""

import json

import pytest

from benchmarks.stage.recipe import RECIPES
from benchmarks.story import __main__ as story
from benchmarks.story.chapters import PLANS, Chapter, chapters
from memunlearn.commands.configs import compose


def writes(file, text="x"):
    return ["-c", f"import pathlib; pathlib.Path({str(file)!r}).write_text({text!r})"]


def test_there_is_a_plan_for_every_stage():
    assert PLANS.keys() == RECIPES.keys()


@pytest.mark.parametrize("size", list(PLANS))
def test_every_command_composes(size, tmp_path):
    checked = []
    for chapter in chapters(size, tmp_path):
        command, *arguments = chapter.arguments
        if command == "-m":
            continue
        overrides = [argument for argument in arguments if argument != "-m"]
        # Of the values of a sweep the last ones: compose takes one each.
        single = [o.rpartition(",")[2] if "," in o and "[" not in o else o for o in overrides]
        single = [f"{o.partition('=')[0]}={s}" if s != o else o for o, s in zip(overrides, single, strict=True)]
        checked.append(compose(command.removesuffix(".py"), *(s for s in single if not s.startswith("hydra."))))
    assert len(checked) == 3 and checked[-1].mask.fraction == PLANS[size].share


def test_chapters_are_told_once_each_and_timed(tmp_path, capfd):
    first, second = tmp_path / "1", tmp_path / "2"
    of = [Chapter("one", writes(first), "1"), Chapter("two", writes(second), "2")]
    first.write_text("there before")
    story.tell(of, tmp_path, iter([10.0, 14.0]).__next__)
    assert first.read_text() == "there before" and second.read_text() == "x"
    assert json.loads((tmp_path / story.STORY).read_text()) == {"two": 4.0}
    said = capfd.readouterr().out
    assert "one: complete already" in said and f"Open {second}" in said


def test_a_sweep_of_which_jobs_are_missing_is_gone_on_with_and_told_to_its_end(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    flag, program = writes(tmp_path / "b.json")
    sweep = Chapter("sweep", [flag, f"{program}; raise SystemExit(1)"], "[ab].json", 4)
    story.tell([sweep, Chapter("page", writes(tmp_path / "page"), "page")], tmp_path)
    assert (tmp_path / "b.json").exists() and (tmp_path / "page").exists()


def test_a_chapter_that_leaves_nothing_ends_the_story(tmp_path):
    of = [Chapter("one", ["-c", "raise SystemExit(3)"], "1"), Chapter("two", writes(tmp_path / "2"), "2")]
    with pytest.raises(story.UserError, match=r"one: exit code 3: .*python -c 'raise SystemExit\(3\)'"):
        story.tell(of, tmp_path)
    assert not (tmp_path / "2").exists() and not (tmp_path / story.STORY).exists()


def test_a_failure_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(story, "chapters", lambda size, folder: [Chapter("one", ["-c", "raise SystemExit(1)"], "1")])
    assert story.main(["--size", "tiny", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: one: exit code 1")


@pytest.mark.slow
def test_the_whole_story_at_the_smallest_size(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MEMUNLEARN_CACHE", str(tmp_path / "cache"))
    assert story.main(["--size", "tiny", "--out", str(tmp_path / "story")]) == 0
    told = json.loads((tmp_path / "story" / story.STORY).read_text())
    assert list(told) == [chapter.name for chapter in chapters("tiny", tmp_path)] and all(took > 0 for took in told.values())
    jobs = list((tmp_path / "story" / "unlearning").glob("*/result.json"))
    assert len(jobs) == 12
    assert all(json.loads(job.read_text())["attacks"] for job in jobs)
