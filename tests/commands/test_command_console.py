"""`python -m memunlearn COMMAND` is the scripts' commands, and every other command, under one name."""

import command_runs
import pytest

import memunlearn
from memunlearn.commands.call import INSTALLED, MODULE, SCRIPTS, Call, program
from memunlearn.commands.console import COMMANDS


def console(*arguments):
    return command_runs.real("-m", "memunlearn", *arguments)


@pytest.mark.parametrize("asked", [(), ("--help",), ("-h",)])
def test_it_lists_its_commands(asked):
    ended = console(*asked)
    assert ended.code == 0 and all(f"memunlearn {name} " in ended.out for name in COMMANDS)


def test_it_says_its_version():
    assert console("--version").out == f"memunlearn {memunlearn.__version__}\n"


def test_an_unknown_command_is_answered_in_one_line():
    ended = console("trian", "mask=all")
    assert "memunlearn trian" in ended.the_error() and "train, evaluate, localize" in ended.the_error()


@pytest.mark.parametrize("name", ["train", "evaluate", "localize"])
def test_an_app_is_that_of_the_script(name):
    one, other = console(name, "--cfg", "job", "seed=7"), command_runs.real(f"{name}.py", "--cfg", "job", "seed=7")
    assert one.code == other.code == 0 and one.out == other.out and "seed: 7" in one.out


@pytest.mark.parametrize("name", ["apply", "report"])
def test_the_other_commands_say_how_they_are_called(name):
    ended = console(name, "--help")
    assert ended.code == 0 and f"usage: memunlearn {name} " in ended.out


def test_a_mistake_in_an_app_is_one_line():
    assert "gradent" in console("train", "mask=gradent").the_error()
    assert "optimizer.lr=3" in console("train", "mask.lr=3").the_error()


@pytest.mark.parametrize(
    ("started", "how", "words"),
    [
        ("train.py", SCRIPTS, ["python", "evaluate.py"]),
        ("/there/train.py", SCRIPTS, ["python", "evaluate.py"]),
        ("/environment/bin/memunlearn", INSTALLED, ["memunlearn", "evaluate"]),
        ("/packages/memunlearn/__main__.py", MODULE, ["python", "-m", "memunlearn", "evaluate"]),
    ],
)
def test_what_is_to_be_typed_is_said_as_it_was_typed(monkeypatch, started, how, words):
    monkeypatch.setattr("sys.argv", [started, "seed=1"])
    assert program() == how
    call = Call(command="train", overrides=("seed=1", "model.name_or_path=a b"), program=program())
    assert call.words("evaluate") == words
    assert call.line == " ".join(call.words("train")) + " seed=1 'model.name_or_path=a b'"


def test_a_call_from_python_has_no_command_line():
    assert Call(command="train").line is None
