"""A name that there is not: the line says which one was meant."""

import command_runs
import pytest
import tiny_demo

from memunlearn.commands.did_you_mean import closest, commands, settings_of

KNOWN = ["batch_size", "mask.fraction", "mask.selection", "optimizer.lr", "protocol.lr", "stop.every"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("batchsize", ["batch_size"]),
        ("mask.fractoin", ["mask.fraction"]),
        ("stopp.every", ["stop.every"]),
        ("fraction", ["mask.fraction"]),
        ("lr", ["optimizer.lr", "protocol.lr"]),
        ("objective.lr", ["optimizer.lr", "protocol.lr"]),
        ("zzz", []),
    ],
)
def test_the_most_alike_is_meant(name, meant):
    assert closest(name, KNOWN) == meant


def test_at_most_three_are_named():
    assert len(closest("x", [f"{group}.x" for group in "abcdef"])) == 3


def test_settings_of_every_command_and_of_every_option():
    assert commands() == ["evaluate", "find", "localize", "takedown", "train"]
    train = settings_of("train")
    assert {
        "batch_size",
        "seeds.mask",
        "mask",
        "mask.fraction",
        "attacks.pruning.shares",
        "optimizer.lr",
        "rehearsal.steps",
    } <= set(train)
    assert not [name for name in train if "_target_" in name or name.startswith("hydra") or "defaults" in name]
    assert "mask.fraction" not in settings_of("evaluate") and "texts" in settings_of("find")


@pytest.mark.parametrize(
    ("command", "given", "said"),
    [
        (
            "train",
            ["mask=gradient", "mask.fractoin=0.1"],
            "mask.fractoin: there is no such setting: did you mean mask.fraction?",
        ),
        ("train", ["batchsize=4"], "did you mean batch_size? (+batchsize=VALUE adds one"),
        ("train", ["zzz=4"], "zzz: there is no such setting: --help lists those that there are"),
        (
            "train",
            ["objective=edti"],
            "objective=edti: there is no such option: did you mean objective=edit? There are ce_u, demote",
        ),
        ("train", ["attacks=[relern,pruning]"], "attacks=relern: there is no such option: did you mean attacks=relearning?"),
        ("evaluate", ["mask.fraction=0.1"], "mask.fraction: evaluate has no such setting, train has it: leave it out"),
        ("localize", ["analysis=em_nl"], "did you mean analysis=em_nll?"),
    ],
)
def test_a_command_says_which_was_meant(tmp_path, command, given, said):
    ended = command_runs.run(command, *tiny_demo.OVERRIDES, *given, directory=tmp_path / "out")
    assert said in ended.the_error()
    assert not (tmp_path / "out").exists()


def test_options_of_ones_own_are_among_those_that_there_are(tmp_path):
    (tmp_path / "own" / "mask").mkdir(parents=True)
    (tmp_path / "own" / "mask" / "middle_layers.yaml").write_text("_target_: own.Middle\n")
    arguments = ("--config-dir", str(tmp_path / "own"), "mask=midle_layers", f"hydra.run.dir={tmp_path / 'out'}")
    line = command_runs.real("train.py", *arguments).the_error()
    assert "did you mean mask=middle_layers? There are all, gradient, middle_layers, random, random_matched" in line
