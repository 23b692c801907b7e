"""Every setting of every command: changed by itself, either a key changes, or it is said why not (`setting_classes.py`).

So a new setting fails here until someone has thought about what goes stale when it is changed.
"""

import contextlib
import copy
import csv
import dataclasses
import io
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_demo
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict
from safetensors.torch import load_file, save_file
from setting_classes import CLASSES, LOCALIZE, NOT_OF_A_JOB, ByContent, Keyed
from test_command_configs import ANALYSES, CONF, OPTIONS
from transformers import AutoTokenizer

from memunlearn.caching.keys import digest
from memunlearn.commands import base_measurements, localize, recited_texts
from memunlearn.commands.call import SCRIPTS, Call, call_of_hydra
from memunlearn.commands.evaluate import evaluate
from memunlearn.commands.find import find
from memunlearn.commands.finding_key import finding_key
from memunlearn.commands.sweep_folder import NOT_CONTENT, content_hash
from memunlearn.commands.takedown.stages import stages_of, written
from memunlearn.commands.train import train
from memunlearn.demo.model import Demo
from memunlearn.errors import UserError
from memunlearn.results.finding import Finding
from memunlearn.results.finding_files import KeptFinding
from memunlearn.unlearning.joint import Joint

GROUPS = {"train": [group for group in OPTIONS if group not in ("analysis", "attacks", "experiment", "demo")]}
GROUPS |= {"evaluate": ["model", "paragraphs"], "localize": ["model", "paragraphs", "logger"]}
GROUPS |= {"find": ["model"], "takedown": ["model"]}
CODE = ("_target_", "_convert_", "_partial_")


def composed(command, *overrides):
    """Not resolved: so a setting that is changed is changed where others take it from, too."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(command, overrides=list(overrides), return_hydra_config=True)
    return cfg


def leaves(node, prefix=""):
    """(dotted name, node's own value as it is written) of everything that holds no more names; a list is one value."""
    for key in node:
        if OmegaConf.is_interpolation(node, key) or not isinstance(node._get_node(key), DictConfig) or node[key] is None:
            yield f"{prefix}{key}", OmegaConf.to_container(node, resolve=False)[key]
        else:
            yield from leaves(node[key], f"{prefix}{key}.")


@pytest.fixture(scope="module")
def settings():
    """{command: {dotted name: value as written}}, of every option of every group."""
    found = {}
    for command, groups in GROUPS.items():
        found[command] = {}
        for turn in range(max(len(OPTIONS[group]) for group in groups)):
            chosen = [f"{group}={OPTIONS[group][turn % len(OPTIONS[group])]}" for group in sorted(groups)]
            cfg = composed(command, *chosen)
            with open_dict(cfg):
                del cfg["hydra"]
            found[command] |= dict(leaves(cfg))
    return found


def is_same_setting_elsewhere(name, value):
    """Passed on to where it is used."""
    return name == "model.demo" or (name.startswith("paragraphs.source.") and str(value).startswith("${"))


@pytest.mark.parametrize("command", CLASSES)
def test_every_setting_is_classified(settings, command):
    there = {
        name
        for name, value in settings[command].items()
        if not name.startswith(("demo.", "analysis.", "attacks."))  # tested whole, below, and with the attacks
        and name.rpartition(".")[2] not in CODE
        and not is_same_setting_elsewhere(name, value)
    }
    new = sorted(there - CLASSES[command].keys())
    assert not new, (
        f"new settings of {command}.py: {', '.join(new)}. What goes stale in the folder, the cache or the sweep of an earlier "
        f"run when one is changed? Add each to {command.upper()} in tests/commands/setting_classes.py: Keyed(VALUE) if a key "
        "must change (and make it: commands/finding_key.py for localize.py, commands/base_measurements.py for what is measured "
        "on the base model), else Unkeyed(VALUE, WHY), and run `pytest -m slow tests/commands/test_every_setting.py`."
    )


def test_every_setting_of_the_demo_is_in_its_key(settings):
    """That each field changes the key is tested with the demo."""
    fields = {f"demo.{field.name}" for field in dataclasses.fields(Demo)}
    for found in settings.values():
        assert {name for name in found if name.startswith("demo.")} - {"demo._target_"} == fields


def another(value):
    """Any other value."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return [*value, "more"] if isinstance(value, list) else f"{value} or another"


def test_every_setting_of_a_run_but_these_makes_another_job(settings):
    assert set(NOT_CONTENT) <= NOT_OF_A_JOB.keys(), "say why it is not part of a job: NOT_OF_A_JOB in setting_classes.py"
    for name, value in settings["train"].items():
        changed = []
        for one in (value, another(value)):
            cfg = OmegaConf.create({})
            OmegaConf.update(cfg, name, one)
            changed.append(content_hash({"seed": 0, **OmegaConf.to_container(cfg)}))
        assert (changed[0] == changed[1]) == (name in NOT_CONTENT), name


def test_every_option_of_an_analysis_is_in_the_key_of_its_finding():
    for name in ANALYSES:
        options = OmegaConf.to_container(OmegaConf.load(CONF / "analysis" / f"{name}.yaml"))
        analysis = type("Analysis", (), {"version": 1})()
        before = digest(finding_key({}, name, analysis, options))
        for option, value in options.items():
            assert digest(finding_key({}, name, analysis, options | {option: another(value)})) != before, (name, option)
        newer = type("Analysis", (), {"version": 2})()
        by_user = type("Analysis", (), {"version": 1, "attribution": type("Own", (), {"version": 2})()})()
        keys = {digest(finding_key({}, name, one, options)) for one in (analysis, newer, by_user)}
        assert len(keys) == 3 and digest(finding_key({}, "other", analysis, options)) != before


class MaskOnly(Joint):
    """In place of the protocol: asks for everything that is measured before training, and goes no further."""

    def __init__(self, **settings):
        pass

    def run(self, given):
        given.mask_for(given.preparation.loss_rows, given.mask_seed)
        raise Done


class Done(Exception):
    pass


@pytest.fixture(scope="module")
def files(tiny_folder, tmp_path_factory):
    """The folder with every file that the values name."""
    folder = tmp_path_factory.mktemp("settings")
    rows = load_file(tiny_folder / "corpus.safetensors")
    texts = torch.cat([rows["memorized"], rows["unseen"][:24]]).tolist()
    for name, kept in (("rows", texts), ("other_rows", texts[:-1])):
        lines = [{"ids": row, "others": row[::-1] if number > 8 else row} for number, row in enumerate(kept)]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    for name, part in (("forget", slice(0, 4)), ("bystander", slice(4, 8)), ("retain", slice(8, 24))):
        torch.save(torch.tensor(texts[part]), folder / f"{name}.pt")
        torch.save(torch.tensor(texts[part][:-1]), folder / f"other_{name}.pt")
    words = AutoTokenizer.from_pretrained(tiny_folder)
    for name, row in (("letter", texts[0]), ("other_letter", texts[1])):
        (folder / f"{name}.txt").write_text(words.decode(row), "utf-8")
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("letter", "answer"), (words.decode(texts[2]), words.decode(texts[3]))])
    np.save(folder / "counts.npy", np.arange(512))
    shutil.copytree(tiny_folder, folder / "model")
    shutil.copytree(tiny_folder, folder / "other_model")
    tensors = load_file(folder / "other_model" / "model.safetensors")
    tensors["transformer.h.1.mlp.c_fc.weight"].view(-1)[0] += 1e-4
    save_file(tensors, folder / "other_model" / "model.safetensors", {"format": "pt"})
    (folder / "other_tokenizer").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_folder / name, folder / "other_tokenizer")
    path = folder / "other_tokenizer" / "tokenizer.json"
    content = json.loads(path.read_text())
    content["decoder"] = {"type": "Fuse"}  # the same vocabulary, and other text
    path.write_text(json.dumps(content))
    return folder


@pytest.fixture
def keys(files, tmp_path, monkeypatch):
    """keys(command, name, value, *overrides): what the command would look for in a folder or in the cache."""
    memory, asked, numbers = {}, set(), itertools.count()

    def remember(store, name, key, make, pack, unpack):
        asked.add(digest(key))
        if digest(key) not in memory:
            memory[digest(key)] = pack(make(None))
        return unpack(memory[digest(key)])

    def kept(directory, name, key):
        found.add(digest(key))
        return KeptFinding(
            digest(key),
            0.0,
            Finding(name=name, title=name, sentences=("said",), unit="rows", numbers={}, tables={}, charts=(), notes=()),
        )

    found = set()
    monkeypatch.setattr(base_measurements, "cached", remember)
    monkeypatch.setattr(recited_texts, "cached", remember)
    monkeypatch.setattr(localize, "read_kept", kept)
    for name in ("write_findings", "print_findings", "start_tracking", "_log"):
        monkeypatch.setattr(localize, name, lambda *arguments, **options: [])
    monkeypatch.setattr("memunlearn.commands.train.start_tracking", lambda *arguments: [])

    def keys(command, name, value, *overrides):
        of_texts = command in ("find", "takedown")
        group = "" if of_texts else "paragraphs."
        inputs = ["model=local", "model.name_or_path={}/model"]
        inputs += [f"{group}prefix_length={tiny_demo.P}", f"{group}continuation_length={tiny_demo.C}"]
        inputs += (
            ["texts={}/letter.txt"]
            if of_texts
            else ["paragraphs=files", "paragraphs.path={}/rows.jsonl", "paragraphs.column=ids"]
        )
        inputs += ["trainer.accelerator=cpu" if command == "train" else "accelerator=cpu"]
        if command == "takedown":
            changed = [] if name is None else [written(name, value)]
            return as_typed([one.replace("{}", str(files)) for one in (*inputs, *overrides, *changed)])
        cfg = composed(command, *(one.replace("{}", str(files)) for one in (*inputs, *overrides)))
        with open_dict(cfg):
            cfg.hydra.runtime.output_dir = str(tmp_path / str(next(numbers)))
            if name is not None:
                OmegaConf.update(
                    cfg, name, value.replace("{}", str(files)) if isinstance(value, str) else value, force_add=True
                )
            HydraConfig.instance().set_config(copy.deepcopy(cfg))
            call = call_of_hydra(SCRIPTS)
            del cfg["hydra"]
            if command == "train":
                cfg.protocol._target_ = "test_every_setting.MaskOnly"
        asked.clear()
        found.clear()
        run = {"train": train, "evaluate": evaluate, "localize": localize.localize, "find": find}[command]
        with contextlib.suppress(Done), contextlib.redirect_stdout(io.StringIO()):
            run(cfg, *call)
        return frozenset(found if command == "localize" else asked)

    return keys


def as_typed(overrides):
    """What each stage of a takedown is asked for: its overrides."""
    cfg = composed("takedown", *overrides)
    with open_dict(cfg):
        del cfg["hydra"]
    stages = stages_of(cfg, Call(command="takedown", overrides=tuple(overrides)), Path("out"))
    return frozenset((stage.folder, *stage.overrides) for stage in stages)


@pytest.mark.slow
@pytest.mark.parametrize("command", CLASSES)
def test_a_setting_changed_by_itself_changes_a_key_or_is_said_not_to(settings, keys, command):
    wrong, before = [], {}
    for name, found in CLASSES[command].items():
        if isinstance(found, ByContent) or name not in settings[command]:
            continue
        base = found.base or chosen_by(name)
        if base not in before:
            before[base] = keys(command, None, None, *base)
            assert before[base], "no key was asked for"
        try:
            same = keys(command, name, found.value, *base) == before[base]
        except UserError as error:
            wrong.append(f"{name}={found.value} cannot be tried ({error})")
            continue
        if same == isinstance(found, Keyed):
            wrong.append(f"{name}={found.value}: {'no key changed' if same else 'a key changed'}")
    assert not wrong, f"{command}.py: {'; '.join(wrong)}: mend the key, or its entry in tests/commands/setting_classes.py"


def chosen_by(name):
    """The option that has this setting, where the default one does not."""
    return ("logger=tensorboard",) if name == "logger.version" else ("logger=wandb",) if name.startswith("logger.") else ()


def test_setting_classes_say_why():
    for found in (one for classes in CLASSES.values() for one in classes.values() if not isinstance(one, Keyed)):
        assert len(found.why) > 5


def test_other_patterns_make_another_finding(keys):
    """The weights that are eligible are those that the figures are about."""
    one, again = (keys("localize", None, None, "analysis=em_nll") for _ in range(2))
    assert one == again != keys("localize", "model.patterns", LOCALIZE["model.patterns"].value, "analysis=em_nll")
