"""--help: every setting of what is chosen, with what its file says of it."""

import command_runs
import pytest
from omegaconf import OmegaConf

from memunlearn.commands.configs import CONF
from memunlearn.commands.did_you_mean import commands
from memunlearn.commands.help import asked_for, help_text


def groups(command):
    entries = OmegaConf.to_container(OmegaConf.load(CONF / f"{command}.yaml"))["defaults"]
    return [next(iter(entry)) for entry in entries if isinstance(entry, dict)]


def top_level(file):
    content = OmegaConf.to_container(OmegaConf.load(file))
    return [key for key in content if key not in ("defaults", "hydra", "source") and not key.startswith("_")]


@pytest.mark.parametrize("command", commands())
def test_every_setting_and_every_group_is_there(command):
    text = help_text(command, f"python {command}.py", [])
    listed = text.partition("Settings:")[0]
    for group in groups(command):
        assert f"\n  {group} " in listed
        assert all(file.stem in listed for file in (CONF / group).glob("*.yaml"))
    settings = text.partition("Settings:")[2].partition("\n\n")[0]
    for name in top_level(CONF / f"{command}.yaml"):
        assert f"\n  {name}:" in settings, name
    assert "hydra:" not in settings and "_target_" not in text and "defaults" not in settings


def test_other_commands_groups_are_not():
    assert "analysis" not in help_text("train", "x", []).partition("Settings:")[0]
    assert "optimizer" not in help_text("evaluate", "x", []).partition("Settings:")[0]


def test_what_is_chosen_is_marked_and_its_settings_are_shown_with_their_comments():
    text = help_text("train", "python train.py", ["--help", "objective=edit", "attacks=[pruning,partial]"])
    assert " edit*," in text and " demote," in text and "kfac*" in text
    assert "objective=edit, objective.SETTING: " in text and "objective=demote" not in text
    for option in ("edit", "../attacks/pruning", "../attacks/partial"):
        for name in top_level(CONF / "objective" / f"{option}.yaml"):
            assert f"\n  {name}:" in text
    assert "  every: 5 # steps between checks" in text


def test_a_comment_above_a_setting_stays_above_it():
    lines = help_text("evaluate", "x", []).splitlines()
    place = lines.index("  patch: null")
    assert lines[place - 2].startswith("  # A run's patch.safetensors") and lines[place - 1].startswith("  # and seed are")


def test_configs_of_ones_own_are_among_them(tmp_path):
    (tmp_path / "mask").mkdir()
    (tmp_path / "mask" / "mine.yaml").write_text("# The weights that I like\n_target_: own.Mine\nfirst: 3 # of them\n")
    text = help_text("train", "x", ["-h", "--config-dir", str(tmp_path), "mask=mine"])
    assert "mine*" in text and "mask=mine, mask.SETTING: The weights that I like\n  first: 3 # of them" in text
    assert "mine*" in help_text("train", "x", [f"--config-dir={tmp_path}", "mask=mine"])


@pytest.mark.parametrize(
    ("arguments", "asked"), [(["-h"], True), (["a=b", "--help"], True), (["help=true"], False), ([], False)]
)
def test_when_it_is_asked_for(arguments, asked):
    assert asked_for(arguments) is asked


def test_it_says_how_the_command_was_started():
    assert command_runs.real("train.py", "--help").out.startswith("python train.py: find what is recited")
    said = command_runs.real("-m", "memunlearn", "find", "-h").out
    assert said.startswith("python -m memunlearn find: which parts of texts") and "texts: null" in said
