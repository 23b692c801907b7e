"""What messages tell people to use is there: settings, options of groups, functions, files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import command_runs
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

import memunlearn

PACKAGE = Path(memunlearn.__file__).parent
FULL = {
    "train": ["logger=wandb", "protocol=per_paragraph", "stop=none", "hydra/sweeper=search"],
    "evaluate": ["paragraphs=hub", "model=local"],
    "localize": ["analysis=all", "paragraphs=files"],
}
ALONE = [
    ("train", [f"{group}={file.stem}"])
    for group in ("objective", "optimizer", "attribution", "protocol", "paragraphs")
    for file in sorted((command_runs.CONF / group).glob("*.yaml"))
]
NOT_BY_DEFAULT = [
    ("train", ["rehearsal=relearning"]),
    ("evaluate", ["attacks=all"]),
    ("find", []),
    ("takedown", []),
]
VARIANTS = [
    ("train", []),
    ("find", []),
    ("train", ["mask=random"]),
    ("train", ["experiment=frontier"]),
    *(("train", [f"paragraphs={stage}"]) for stage in ("hubble", "muse", "tofu", "olmo_memorized")),
    *ALONE,
    *FULL.items(),
    *NOT_BY_DEFAULT,
]
# Names of other libraries that messages give, and words that only look like a call or a setting.
FOREIGN = {
    "isValid",
    "format",
    "torch.save",
    "numpy.save",
    "tensor.clone",
    "M.from_pretrained",
    "merge_and_unload",
    "save_pretrained",
}
FILES = (".safetensors", ".json", ".parquet", ".html", ".jinja")
SHELL = {"HYDRA_FULL_ERROR", "WANDB_MODE", "MEMUNLEARN_CACHE"}


def texts():
    """(where, text) of all that is raised as a UserError, printed or returned as text; what is filled in stands as {}."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Return) or (
                isinstance(node, ast.Call) and ast.unparse(node.func) in ("UserError", "print")
            ):
                for part in ast.walk(node):
                    if isinstance(part, ast.JoinedStr) or (isinstance(part, ast.Constant) and isinstance(part.value, str)):
                        yield f"{path.name}:{part.lineno}", _text(part)


def _text(node):
    if isinstance(node, ast.Constant):
        return node.value
    return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)


@pytest.fixture(scope="module")
def settings():
    """Every dotted name of every config, groups and leaves."""
    GlobalHydra.instance().clear()
    names = set()
    with initialize_config_dir(str(command_runs.CONF), version_base="1.3"):
        for script, overrides in VARIANTS:
            names |= set(_names(compose(script, overrides, return_hydra_config=True)))
    GlobalHydra.instance().clear()
    return names | {
        f"paragraphs.{name}" for name in ("path", "forget", "bystander", "retain", "protected", "protected_share", "protect")
    }


def _names(node, prefix=""):
    for key in node:
        yield f"{prefix}{key}"
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            yield from _names(child, f"{prefix}{key}.")


def settings_in(text):
    """Dotted names below a config group, and names before `=`, as `stop=none`."""
    groups = (
        "analysis|attacks|attribution|callbacks|demo|logger|mask|model|objective|optimizer|paragraphs|protocol|rehearsal|seeds|"
        "stop|trainer|hydra"
    )
    yield from re.findall(rf"(?<![\w./{{}}-])((?:{groups})(?:\.[a-z][a-z_]*)+)(?![\w(/{{]|\.\{{)", text)
    yield from re.findall(r"(?:set|use|add|with|leave|needs|give) ([a-z_]+(?:\.[a-z_]+)*)=", text)


def test_settings_in_messages_exist(settings):
    found = {(name, where) for where, text in texts() for name in settings_in(text)}
    known = settings | {"objective.needs"}  # of an objective in Python, for `prepare`
    missing = {(name, where) for name, where in found if name not in known and not name.endswith(FILES)}
    assert len(found) > 60 and not missing


def test_options_in_messages_exist():
    options = {
        (group, option, where)
        for where, text in texts()
        for group, option in re.findall(r"(?<![\w.])([a-z]+)=([a-z_0-9]+)(?![\w(.])", text)
        if (command_runs.CONF / group).is_dir()
    }
    absent = {one for one in options if not (command_runs.CONF / one[0] / f"{one[1]}.yaml").is_file()}
    assert len(options) > 5 and not absent


def test_functions_in_messages_exist():
    known = set(memunlearn.__all__)
    calls = {
        (name, where)
        for where, text in texts()
        if " " in text
        for name in re.findall(r"(?<![\w.])([A-Za-z_]+(?:\.[a-z_]+)*)\((?=[a-z)])", text)
    }
    advised = {(name, where) for name, where in calls if name not in known | FOREIGN and name.rpartition(".")[2] not in FOREIGN}
    assert ("remove_patch", True) in {(name, True) for name, _ in calls} and not advised


def test_files_commands_and_variables_in_messages_exist():
    checked = 0
    for where, text in texts():
        for name in re.findall(r"conf/[\w/]+\.yaml", text):
            assert (command_runs.ROOT / name).is_file(), (where, name)
            checked += 1
        for name in re.findall(r"python (\w+\.py)", text):
            assert (command_runs.ROOT / name).is_file(), (where, name)
            checked += 1
        for name in re.findall(r"python -m (memunlearn[\w.]*)", text):
            assert (PACKAGE.parent / name.replace(".", "/") / "__main__.py").is_file(), (where, name)
            checked += 1
        for target in re.findall(r"`make (\w+)`", text):
            assert re.search(rf"^{target}:", (command_runs.ROOT / "Makefile").read_text(), re.MULTILINE), (where, target)
            checked += 1
        for name in re.findall(r"\b([A-Z]+(?:_[A-Z]+)+)=", text):
            assert name in SHELL, (where, name)
            checked += 1
    assert checked > 5
