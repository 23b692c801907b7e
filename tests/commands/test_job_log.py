"""What a job's log keeps of what was printed."""

import sys

import command_runs
import pytest
import tiny_demo

from memunlearn.commands.job_log import also_in
from memunlearn.errors import UserError


def test_what_is_printed_is_in_the_file_and_on_the_terminal(tmp_path, capsys):
    (tmp_path / "log").write_text("before\n")
    with also_in(tmp_path / "log"):
        print("one", "two", end="")
        print(" three")
        print("a warning", file=sys.stderr)
        print("ümläut without an end", end="")
    said = capsys.readouterr()
    assert said.out.startswith("one two three\n") and said.err == "a warning\n"
    assert (tmp_path / "log").read_text() == "before\none two three\na warning\nümläut without an end\n"


def test_of_a_bar_that_is_drawn_again_the_last_state_is_kept_without_colours(tmp_path):
    with also_in(tmp_path / "log"):
        for done in (0, 50, 100):
            sys.stdout.write(f"\r\x1b[2K\x1b[32mscoring {done} %\x1b[0m")
            sys.stdout.flush()
        sys.stdout.write("\r\n")
        sys.stderr.writelines(["a\n", "b\r\n"])
    assert (tmp_path / "log").read_text() == "scoring 100 %\na\nb\n"


def test_the_streams_are_those_from_before_and_answer_as_they_do(tmp_path):
    before = sys.stdout, sys.stderr
    with also_in(tmp_path / "log"):
        assert sys.stdout is not before[0]
        assert sys.stdout.isatty() == before[0].isatty() and sys.stdout.encoding == before[0].encoding
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.parametrize(
    ("error", "said"), [(UserError("lower it"), "error: lower it\n"), (RuntimeError("a fault"), "RuntimeError: a fault\n")]
)
def test_why_it_ended_is_kept_and_raised(tmp_path, error, said):
    before = sys.stdout
    with pytest.raises(type(error)), also_in(tmp_path / "log"):
        print("begun")
        raise error
    text = (tmp_path / "log").read_text()
    assert text.startswith("begun\n") and text.endswith(said) and ("Traceback" in text) == isinstance(error, RuntimeError)
    assert sys.stdout is before


def test_passwords_are_not_kept(tmp_path):
    with also_in(tmp_path / "log"):
        print("storage at postgresql://me:secret@host/db")
    assert "secret" not in (tmp_path / "log").read_text()


def test_a_run_keeps_its_tables(tmp_path):
    ended = command_runs.run("evaluate", *tiny_demo.OVERRIDES, "accelerator=cpu", directory=tmp_path / "out")
    assert ended.code == 0, ended.err
    log = (tmp_path / "out" / "evaluate.log").read_text()
    assert [line for line in ended.out.splitlines() if line.startswith("wrote ")][0] in log
