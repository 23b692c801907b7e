"""A terminal or a log that does not have a character is no reason for a command to end."""

import io

import live_commands
import pytest

from memunlearn.process import write_anything

ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}


@pytest.mark.parametrize("encoding", ["gbk", "cp850", "latin-1", "ascii"])
def test_a_command_ends_whatever_its_output_can_hold(tmp_path, encoding):
    code, out, err = live_commands.end(live_commands.start_quick("hydra.run.dir=here", cwd=tmp_path, encoding=encoding))
    assert code == 0 and err == "", err
    shown = "\\u732b" if encoding != "gbk" else "\ufffd"  # read as UTF-8 here
    assert f"begun * {shown}" in out or encoding == "gbk"


def test_the_log_is_utf_8_whatever_the_locale(tmp_path):
    process = live_commands.start_quick("hydra.run.dir=here", cwd=tmp_path, encoding="", **ASCII)
    code, out, err = live_commands.end(process)
    assert code == 0 and "Logging error" not in err and "a warning * \\u732b" in out, err
    assert "a warning \u2022 \u732b" in (tmp_path / "here" / "train.log").read_text("utf-8")


def test_what_is_written_on_a_stream_that_lacks_it():
    kept = io.BytesIO()
    stream = io.TextIOWrapper(kept, encoding="ascii")
    write_anything(stream)
    stream.write("a\u2022b\u2026\u732b\udcc3\U0001f680")
    stream.flush()
    assert kept.getvalue() == rb"a*b...\u732b\udcc3\U0001f680"


def test_what_a_stream_has_is_written_as_it_is():
    kept = io.BytesIO()
    stream = io.TextIOWrapper(kept, encoding="utf-8")
    write_anything(stream)
    stream.write("a\u2022\u732b\udcc3")
    stream.flush()
    assert kept.getvalue() == "a\u2022\u732b".encode() + rb"\udcc3"


def test_a_stream_of_another_kind_is_left_alone():
    stream = io.StringIO()
    write_anything(stream)
    stream.write("a\u2022\udcc3")
    assert stream.getvalue() == "a\u2022\udcc3"
    write_anything(None)  # a process without standard output


def test_output_that_nobody_reads_any_more_is_no_fault_of_the_folder():
    from memunlearn.commands.mistakes import mistake

    line = mistake(BrokenPipeError(32, "Broken pipe"))
    assert "output" in line and "folder" not in line and "disk" not in line


@pytest.mark.slow
def test_every_command_runs_in_a_locale_of_ascii_and_a_folder_of_letters_beyond(tmp_path, tiny_folder):
    """Progress bars, tables, texts, pages and paths."""
    import command_runs
    import tiny_demo

    folder = tmp_path / "\u00e9 \u732b"
    folder.mkdir()
    train = command_runs.training("stop.max_steps=2", "hydra.run.dir=sweep/0")
    tiny = [*tiny_demo.OVERRIDES, "accelerator=cpu"]
    patch = "sweep/0/patch.safetensors"
    for command in (
        [command_runs.ROOT / "train.py", *train],
        [command_runs.ROOT / "evaluate.py", *tiny, f"patch={patch}", "hydra.run.dir=evaluation"],
        [command_runs.ROOT / "localize.py", *tiny, "analysis=em_nll", "hydra.run.dir=localization"],
        ["-m", "memunlearn.models", "apply", "--base", tiny_folder, "--patch", patch, "--out", tmp_path / "baked"],
        ["-m", "memunlearn.reporting", "sweep"],
    ):
        code, out, err = live_commands.end(live_commands.start(*command, cwd=folder, encoding="", **ASCII), 300)
        assert code == 0 and "Traceback" not in out + err and "Logging error" not in err, err
    assert (tmp_path / "baked" / "config.json").is_file()  # transformers itself writes to no path of letters beyond ASCII here
    left = ["sweep/0/result.json", "evaluation/evaluation.json", "localization/localization.json", "sweep/sweep.html"]
    assert all((folder / name).is_file() for name in left)
