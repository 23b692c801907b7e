"""Every file under conf/ composes and builds what it names; --help and --cfg answer without torch."""

import dataclasses
from pathlib import Path

import command_runs
import lightning
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.utils import instantiate
from omegaconf import OmegaConf, open_dict

from memunlearn.commands.frontier import sweeper
from memunlearn.unlearning.optimizers import check_optimizer, takes_context

CONF = command_runs.CONF
GROUPS = [folder for folder in CONF.iterdir() if folder.is_dir() and folder.name != "hydra"]
OPTIONS = {folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in GROUPS}
# Of these none is chosen by default, or several are.
SEVERAL = ("experiment", "analysis", "attacks")
# Composing takes a quarter of a second: each round takes the next option of every group, until all have had their turn.
ROUNDS = [
    {group: names[turn % len(names)] for group, names in sorted(OPTIONS.items()) if group not in SEVERAL}
    for turn in range(max(map(len, OPTIONS.values())))
]


def composed(*overrides, name="train"):
    """Resolved, for a run in the folder /tmp/some-run."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(name, overrides=list(overrides), return_hydra_config=True)
    with open_dict(cfg):
        cfg.hydra.runtime.output_dir = "/tmp/some-run"
        HydraConfig.instance().set_config(cfg)
        del cfg["hydra"]
        OmegaConf.resolve(cfg)
    return cfg


def test_the_groups_are_those_of_the_design():
    expected = "model paragraphs objective attribution mask protocol stop optimizer trainer logger callbacks experiment"
    assert set(expected.split()) <= set(OPTIONS)


def test_no_option_hides_in_a_folder_below_a_group():
    found = [*CONF.glob("*.yaml"), *CONF.glob("*/*.yaml"), *CONF.glob("hydra/*/*.yaml")]
    assert sorted(CONF.rglob("*.yaml")) == sorted(found)


@pytest.mark.parametrize("options", ROUNDS, ids=str)
def test_every_option_composes_and_builds(options):
    cfg = composed(*(f"{group}={name}" for group, name in options.items()))
    for group in ("attribution", "demo", "model", "objective", "protocol"):
        assert instantiate(cfg[group]) is not None
    assert hasattr(instantiate(cfg.paragraphs.source), "load")
    assert {"prefix_length", "continuation_length", "max_forget", "max_bystander", "max_retain"} <= set(cfg.paragraphs)
    assert all(isinstance(instantiate(callback), lightning.Callback) for callback in cfg.callbacks.values())
    assert isinstance(instantiate(cfg.trainer, logger=False, accelerator="cpu"), lightning.Trainer)
    optimizer = instantiate(cfg.optimizer)
    check_optimizer(optimizer)
    if not takes_context(optimizer):
        weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        assert optimizer([weight]).param_groups[0]["lr"] == float(cfg.optimizer.lr) > 0
    assert hasattr(instantiate(cfg.mask), "select")
    assert bool(cfg.get("stop")) == (options["stop"] != "none")
    if cfg.get("stop"):
        assert instantiate(cfg.stop).max_steps > 0
    assert bool(cfg.get("logger")) == (options["logger"] != "csv")
    assert "some-run" not in str(cfg)  # a config is the same wherever it is run


@pytest.mark.parametrize("options", [options for options in ROUNDS[: len(OPTIONS["paragraphs"])]], ids=str)
def test_evaluate_takes_the_same_inputs(options):
    cfg = composed(*(f"{group}={options[group]}" for group in ("model", "paragraphs", "demo")), name="evaluate")
    assert instantiate(cfg.model) is not None and instantiate(cfg.paragraphs.source) is not None


ANALYSES = [name for name in OPTIONS["analysis"] if name != "all"]


@pytest.mark.parametrize("name", ANALYSES)
def test_every_analysis_composes_and_builds(name):
    cfg = composed(f"analysis={name}", name="localize")
    assert list(cfg.analysis) == [name]
    analysis = instantiate(cfg.analysis[name], _convert_="all")
    assert analysis.version >= 1 and callable(analysis)


def test_several_analyses_or_all_of_them_can_be_chosen():
    assert list(composed("analysis=[em_nll,attention_heads]", name="localize").analysis) == ["em_nll", "attention_heads"]
    everything = composed("analysis=all", "analysis.em_nll._target_=somewhere", name="localize").analysis
    assert sorted(everything) == sorted(ANALYSES) and everything.em_nll._target_ == "somewhere"


ATTACKS = [name for name in OPTIONS["attacks"] if name != "all"]


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_composes_and_builds(name, command):
    """The config gives every setting the default that the class has."""
    cfg = composed(f"attacks={name}", name=command)
    assert list(cfg.attacks) == [name]
    attack = instantiate(cfg.attacks[name], _convert_="all")
    assert attack.name == name and callable(attack)
    for field in dataclasses.fields(attack):
        value = getattr(attack, field.name)
        assert (tuple(value) if isinstance(value, list) else value) == field.default, field.name
    assert len(cfg.attacks[name]) == len(dataclasses.fields(attack)) + 1


def test_no_attack_several_or_all_of_them_can_be_chosen():
    assert "attacks" not in composed() and "attacks" not in composed(name="evaluate")
    assert list(composed("attacks=[pruning,partial]", "attacks.partial.points=3").attacks) == ["pruning", "partial"]
    everything = composed("attacks=all", "attacks.partial._target_=somewhere", name="evaluate").attacks
    assert sorted(everything) == sorted(ATTACKS) and everything.partial._target_ == "somewhere"


@pytest.mark.parametrize("name", OPTIONS["experiment"])
def test_every_experiment_composes_and_builds(name):
    cfg = composed(f"experiment={name}")
    for group in ("attribution", "demo", "model", "objective", "protocol"):
        assert instantiate(cfg[group]) is not None


def test_every_config_names_things_that_python_can_find():
    """The dotted names in every file, whether or not a test above builds them."""
    from hydra.utils import get_object

    found = set()
    for file in CONF.rglob("*.yaml"):
        content = yaml.safe_load(file.read_text()) or {}
        for part in (content, *(value for value in content.values() if isinstance(value, dict))):
            if "_target_" in part:
                found.add(part["_target_"])
    sweeper.register()
    plugins = {name for name in found if name.startswith("hydra_plugins.")}  # Hydra knows them by their registered names
    assert plugins and plugins <= Plugins.instance().class_name_to_class.keys()
    assert all(callable(get_object(name)) for name in found - plugins) and len(found) > 20


def test_defaults_of_the_configs_are_defaults_of_the_code():
    from memunlearn.demo.model import Demo
    from memunlearn.masks import AllWeights
    from memunlearn.objectives.contrastive import Edit, Unlearn
    from memunlearn.objectives.demote import Demote
    from memunlearn.unlearning.kfac import Kfac
    from memunlearn.unlearning.per_paragraph import PerParagraph
    from memunlearn.unlearning.stopping import StopRule

    cfg = composed()
    assert instantiate(cfg.demo) == Demo() and instantiate(cfg.stop) == StopRule()
    assert instantiate(cfg.objective) == Demote() and instantiate(cfg.optimizer) == Kfac()
    assert instantiate(cfg.mask) == AllWeights()
    assert instantiate(composed("objective=edit").objective) == Edit()
    assert instantiate(composed("objective=unlearn").objective) == Unlearn()
    assert instantiate(composed("protocol=per_paragraph").protocol) == PerParagraph()


METHOD = ("objective", "attribution", "mask", "optimizer")
CONTRASTIVE = ("objective=unlearn", "attribution=gradient", "mask=gradient", "optimizer=adam")


def test_the_default_method():
    chosen = composed("objective=demote", "attribution=gradient", "mask=all", "optimizer=kfac")
    assert composed() == chosen


def test_the_contrastive_experiment_is_the_default_of_before():
    cfg = composed("experiment=contrastive")
    assert cfg == composed(*CONTRASTIVE)
    assert (cfg.objective.forget_weight, cfg.objective.retain_weight, cfg.objective.max_token_nll) == (0.1, 1.0, 3.0)
    assert (cfg.mask.fraction, cfg.mask.selection) == (0.05, "global")
    assert (cfg.optimizer._target_, cfg.optimizer.lr) == ("torch.optim.Adam", 2e-3)


@pytest.mark.parametrize("experiment", ["comparison", "frontier"])
def test_what_an_experiment_does_not_say_is_the_contrastive_method(experiment):
    cfg, contrastive = composed(f"experiment={experiment}"), composed(*CONTRASTIVE)
    assert {group: cfg[group] for group in METHOD} == {group: contrastive[group] for group in METHOD}


def test_the_paper_experiment_is_the_paper():
    cfg = composed("experiment=paper")
    assert (cfg.protocol.trials, cfg.protocol.steps, cfg.protocol.retain_batch) == (20, 5, 10)
    assert (cfg.objective.forget_weight, cfg.objective.retain_weight) == (0.1, 50.0)
    assert cfg.objective.max_token_nll is None
    assert (cfg.optimizer._target_, cfg.optimizer.lr, cfg.optimizer.eps) == ("torch.optim.Adam", 1e-5, 1e-8)
    assert cfg.mask.fraction == 0.001
    assert not cfg.get("stop") and "checkpoint" not in cfg.callbacks
    assert composed("experiment=paper", "objective=edit").objective.retain_weight == 50.0


def answered_at_once(*arguments):
    """The finished process; it has imported none of the libraries that take seconds."""
    ended = command_runs.real("-X", "importtime", *arguments)
    modules = {line.rsplit("|", 1)[-1].strip() for line in ended.err.splitlines() if line.startswith("import time:")}
    assert "hydra" in modules
    assert not modules & {"torch", "transformers", "lightning", "wandb", "numpy"}
    return ended


@pytest.mark.parametrize("script", ["train", "evaluate"])
@pytest.mark.parametrize("asked", [("--help",), ("--cfg", "job")])
def test_help_and_cfg_answer_at_once(script, asked):
    ended = answered_at_once(f"{script}.py", *asked)
    assert ended.code == 0 and "paragraphs" in ended.out and "model" in ended.out


def test_a_typo_is_answered_at_once():
    ended = answered_at_once("train.py", "mask=gradent")
    assert ended.code == 2 and len(ended.error_lines) == 1 and "gradent" in ended.error_lines[0]


def test_the_scripts_say_where_to_find_help():
    for script in ("train", "evaluate"):
        assert f"python {script}.py --help" in Path(command_runs.ROOT / f"{script}.py").read_text().splitlines()[0]


def test_stop_null_is_no_stop_rule():
    shown = command_runs.real("train.py", "--cfg", "job", "stop=null")
    assert shown.code == 0 and "StopRule" not in shown.out, shown.err
