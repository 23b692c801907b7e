"""Configs of earlier versions read as today's."""

import copy
import re

import pytest

from memunlearn.errors import UserError
from memunlearn.results import old_names
from memunlearn.results.old_names import check_keys, config_today

JOINT = "memunlearn.unlearning.joint.Joint"
TRIALS = "memunlearn.unlearning.per_paragraph.PerParagraph"
FILES = "memunlearn.paragraphs.sources.FileSource"


def earlier(protocol, scope):
    return {
        "seed": 3,
        "model": None,
        "mask": {"_target_": "memunlearn.masks.AllWeights", "layers": [0, 1], "lr": 4e-4, "scope": scope},
        "protocol": {"_target_": protocol},
        "stop": {"_target_": "memunlearn.unlearning.stopping.StopRule", "every": 5},
        "paragraphs": {"path": "a.pt", "source": {"_target_": FILES, "path": "a.pt"}},
    }


@pytest.mark.parametrize(
    ("protocol", "scope", "today"),
    [
        (JOINT, None, {}),
        (JOINT, "set", {}),
        (TRIALS, None, {"mask_scope": "trial"}),
        (TRIALS, "trial", {"mask_scope": "trial"}),
        (TRIALS, "set", {"mask_scope": "set"}),
    ],
)
def test_a_mask_s_lr_and_scope_stand_where_they_belong(protocol, scope, today):
    before = earlier(protocol, scope)
    given = copy.deepcopy(before)
    read = config_today(before)
    assert before == given
    assert read["mask"] == {"_target_": "memunlearn.masks.AllWeights", "layers": [0, 1]}
    assert read["protocol"] == {"_target_": protocol, **today}
    assert read["seed"] == 3 and read["model"] is None
    assert config_today(read) == read


def test_settings_that_were_not_there_yet_have_the_value_that_a_plain_command_gives_them():
    read = config_today(earlier(JOINT, None))
    assert read["stop"]["min_bystander_em"] is None and read["stop"]["longest_run"] is None and read["stop"]["every"] == 5
    assert read["paragraphs"]["bos"] == read["paragraphs"]["source"]["bos"] == "auto"
    pile = {"paragraphs": {"source": {"_target_": "memunlearn.paragraphs.sources.PileSource"}}}
    protects = {"protect": 0.0, "protected_share": 0.5, "unseen": None}
    assert config_today(pile) == {"paragraphs": pile["paragraphs"] | protects}  # and no bos
    made = {"retain_rows": 256, "suspected": None, "suspected_samples": 1024}
    assert all(read["paragraphs"][name] == read["paragraphs"]["source"][name] == value for name, value in made.items())
    told = earlier(JOINT, None)
    told["stop"]["min_bystander_em"] = 7.0
    told["paragraphs"]["source"]["bos"] = told["paragraphs"]["bos"] = False
    assert config_today(told)["stop"]["min_bystander_em"] == 7.0 and config_today(told)["paragraphs"]["bos"] is False


def test_a_run_of_before_p_z_did_not_ask_for_it():
    run = earlier(JOINT, None) | {"objective": {"_target_": "memunlearn.objectives.unlearn.Unlearn"}}
    assert config_today(run)["p_z"] == {"top_k": None, "temperature": 1.0}
    assert config_today(run | {"p_z": {"top_k": 40, "temperature": 2.0}})["p_z"]["top_k"] == 40
    assert "p_z" not in config_today(earlier(JOINT, None))  # of another command: no objective


def test_moved_classes_are_found_wherever_they_are_named(monkeypatch):
    monkeypatch.setattr(old_names, "MOVED", {"memunlearn.old.Mask": "memunlearn.new.Mask"})
    config = {
        "a": [{"_target_": "memunlearn.old.Mask", "x": {"_target_": "memunlearn.other.Mask"}}],
        "b": "memunlearn.old.Mask",
    }
    assert config_today(config) == {
        "a": [{"_target_": "memunlearn.new.Mask", "x": {"_target_": "memunlearn.other.Mask"}}],
        "b": "memunlearn.old.Mask",
    }


@pytest.mark.parametrize(
    "odd", [{}, {"mask": "x"}, {"mask": {"scope": []}, "protocol": 3}, {"paragraphs": {"source": 1}}, {3: 4}]
)
def test_what_is_no_config_is_left_to_whoever_reads_it(odd):
    assert config_today(odd).keys() == odd.keys()


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("mask.lr=0.1", "optimizer.lr now: write optimizer.lr=0.1"),
        ("+mask.lr=0.1", "optimizer.lr now: write optimizer.lr=0.1"),
        ("++mask.lr=0.1", "optimizer.lr now: write optimizer.lr=0.1"),
        ("~mask.lr", "optimizer.lr now: leave it out"),
        ("mask.scope=set", "protocol.mask_scope now: write protocol.mask_scope=set"),
        ("mask.scope=null", "protocol.mask_scope now: leave it out"),
    ],
)
def test_an_old_key_is_answered_with_the_new_one(typed, answer):
    with pytest.raises(UserError, match=f"this setting is {re.escape(answer)}$"):
        check_keys(["seed=1", typed])
    check_keys(["mask.fraction=0.1", "optimizer.lr=0.1", "-m", "mask.lr.x=1"])
