"""A config that a stranger wrote builds what this project's configs offer, and nothing else."""

from pathlib import Path

import command_runs
import pytest
from omegaconf import OmegaConf

from memunlearn.commands.kept_config import hidden_settings, kept_config
from memunlearn.commands.offered import check_offered, offered_targets
from memunlearn.errors import UserError

FILE = Path("there/config.yaml")
SYSTEM = {"_target_": "os.system", "command": "true"}


def check(config, allowed=()):
    check_offered(config, FILE, [command_runs.CONF], allowed)


def test_every_class_of_every_config_is_offered_in_its_group():
    offered = offered_targets([command_runs.CONF])
    named = 0
    for file in command_runs.CONF.glob("*/*.yaml"):
        content = OmegaConf.to_container(OmegaConf.load(file))
        if file.parent.name not in ("hydra", "experiment") and "_target_" in content:
            check({file.parent.name: {"_target_": content["_target_"]}})
            named += 1
    assert named > 25 and "torch.optim.Adam" in offered["optimizer"] and "hydra" not in offered
    check({"paragraphs": {"source": {"_target_": "memunlearn.demo.model.DemoSource"}}})
    # A resolved config has the demo's class where conf/ has ${demo}.
    check({"model": {"demo": {"_target_": "memunlearn.demo.model.Demo"}}})


@pytest.mark.parametrize(
    "config",
    [
        {"protocol": SYSTEM},
        {"optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, "params": SYSTEM}},
        {"callbacks": {"more": [[SYSTEM]]}},
        {"trainer": {"_target_": "lightning.Trainer", "_args_": [SYSTEM]}},
        {"unheard_of": SYSTEM},
        {"model": {"_target_": "torch.optim.Adam"}},
        {"protocol": {"_target_": "memunlearn.files.writing.write_text"}},
        {"protocol": {"_target_": "memunlearn.commands.search.study_storage"}},
        {"protocol": {"_target_": "${oc.env:TARGET}"}},
        {"protocol": {"_target_": ["os.system"]}},
        {"protocol": {"_target_": SYSTEM}},
        {"protocol": {"_target_": None}},
        SYSTEM,
    ],
    ids=str,
)
def test_what_is_not_offered_is_refused_by_place_and_name(config):
    with pytest.raises(UserError, match=r"there/config.yaml: .*_target_ names .*not called"):
        check(config)


def test_what_is_refused_can_be_allowed_by_name():
    with pytest.raises(UserError, match=r"add 'allow=\[os.system\]'"):
        check({"protocol": SYSTEM})
    check({"protocol": SYSTEM}, ["os.system"])
    with pytest.raises(UserError, match="os.popen"):
        check({"protocol": SYSTEM, "stop": {"_target_": "os.popen"}}, ["os.system"])


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "${seed}", "a${b}c", "${oc.create:{_target_:os.system}}"])
def test_references_are_not_followed(value):
    with pytest.raises(UserError, match="seeds.split"):
        check({"seeds": {"split": value}})


@pytest.mark.parametrize(
    "text",
    [
        "a: [1",
        "- 1",
        "a: &x [1, 2]\nb: *x",
        "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghijk", "bcdefghijkl", strict=True)),
        "[" * 2000,
        "a: " + "{b: " * 200 + "1" + "}" * 200,
        "a: " + "9" * 10_000,
        "a: !!python/object/apply:os.system [true]",
        "a: 1\na: 2",
        "a: ${b}",
        "x" * 1_100_000,
    ],
    ids=lambda text: text[:30],
)
def test_a_damaged_config_is_named(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match="config.yaml is damaged"):
        kept_config(tmp_path / "config.yaml", [command_runs.CONF], [])


def test_settings_whose_passwords_were_not_kept_are_found():
    assert hidden_settings({"a": {"b": "s3://k:***@x", "c": [1, {"d": "***"}]}, "e": "x"}) == ["a.b", "a.c"]
