"""Every `python train.py`, `evaluate.py` and `localize.py` in the pages composes: a renamed setting cannot leave them wrong."""

import importlib.util
import re
import shlex
import subprocess

import command_runs
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from memunlearn.commands.hydra_app import INSTEAD

PAGES = [command_runs.ROOT / "README.md", *sorted((command_runs.ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SCRIPTS = tuple(f"python {name}.py" for name in ("train", "evaluate", "localize"))
# Plugins that a page may choose, and the package that brings them.
PLUGINS = {"hydra/launcher": "hydra_plugins.hydra_submitit_launcher", "hydra/sweeper": "hydra_plugins.hydra_optuna_sweeper"}


def commands(page):
    """The command lines in a page's code blocks, each as a list of arguments."""
    for block in BLOCK.findall(page.read_text("utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith(SCRIPTS):
                yield shlex.split(line, comments=True)


COMMANDS = [pytest.param(command, id=f"{page.name}: {' '.join(command[1:])}") for page in PAGES for command in commands(page)]


def installed(package):
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def values(override):
    """An override as many times as a sweep would give it another value; the ends of an interval."""
    if not override.is_sweep_override():
        return [override.input_line]
    key = override.get_key_element()
    if override.is_interval_sweep():
        return [f"{key}={override.value().start}", f"{key}={override.value().end}"]
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_to_be_typed_is_right_for_a_shell(page):
    blocks = BLOCK.findall(page.read_text("utf-8"))
    typed = [block for block in blocks if any(line.startswith(("memunlearn ", *SCRIPTS)) for line in block.splitlines())]
    checked = [subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True).stderr for block in typed]
    assert not any(checked), checked


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_in_the_pages_composes(command):
    script = command[1].removesuffix(".py")
    arguments = [INSTEAD.get(one, one) for one in command[2:] if one != "-m"]
    for group, package in PLUGINS.items():
        # Without the plugin its settings are unknown: the rest of the command is looked at.
        if not installed(package):
            arguments = [one for one in arguments if not one.startswith((group, group.replace("/", ".")))]
    swept = [values(override) for override in OverridesParser.create().parse_overrides(arguments)]
    assert ("-m" in command) == any(len(given) > 1 for given in swept) or "hydra/sweeper=optuna" in command
    for turn in range(max(map(len, swept), default=1)):
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(command_runs.CONF), version_base="1.3"):
            cfg = compose(script, overrides=[given[turn % len(given)] for given in swept])
        OmegaConf.resolve(cfg)


def test_the_pages_have_commands_of_every_kind():
    """Else the pattern above has stopped finding them."""
    found = [" ".join(command.values[0]) for command in COMMANDS]
    for words in (
        "-m objective",
        "hydra/sweeper=optuna",
        "hydra/launcher",
        "paragraphs.forget=FORGET.pt",
        "evaluate.py model=local",
        "localize.py analysis=[em_nll,attention_heads]",
    ):
        assert any(words in one for one in found), words


def test_links_between_the_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
