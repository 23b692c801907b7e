"""Every file of conf/paragraphs composes, and overrides reach the source."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from memunlearn.paragraphs import sources
from memunlearn.paragraphs.stages.hubble import HubbleSource
from memunlearn.paragraphs.stages.muse import MuseSource
from memunlearn.paragraphs.stages.olmo_memorized import OlmoMemorizedSource
from memunlearn.paragraphs.stages.tofu import TofuSource

CONF = Path(__file__).parents[2] / "conf"
LENGTHS = {"tofu": (64, 20), "olmo_memorized": (64, 48)}
STAGES = {"hubble": HubbleSource, "muse": MuseSource, "tofu": TofuSource, "olmo_memorized": OlmoMemorizedSource}


def source(name, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(overrides=[f"+paragraphs={name}", *overrides])
    for key, length in zip(("prefix_length", "continuation_length"), LENGTHS.get(name, (50, 50)), strict=True):
        assert cfg.paragraphs[key] == length or any(key in override for override in overrides)
    assert {"max_forget", "max_bystander", "max_retain"} <= set(cfg.paragraphs)
    return instantiate(cfg.paragraphs.source)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("files", sources.FileSource),
        ("hub", sources.HubSource),
        ("pile", sources.PileSource),
        ("lm_extraction", sources.LMExtractionSource),
        *STAGES.items(),
    ],
)
def test_each_file_builds_its_source(name, kind):
    assert isinstance(source(name), kind)


def test_defaults_of_the_catalog_match_the_code():
    assert source("pile") == sources.PileSource()
    assert source("lm_extraction") == sources.LMExtractionSource()


@pytest.mark.parametrize(("name", "kind"), STAGES.items())
def test_defaults_of_a_stage_match_the_code(name, kind):
    built, default = source(name), kind()
    for field in dataclasses.fields(kind):
        value = getattr(built, field.name)
        assert (tuple(value) if isinstance(value, list) else value) == getattr(default, field.name), field.name


def test_overrides_reach_a_stage():
    built = source("hubble", "paragraphs.data=passages_wikipedia", "paragraphs.duplicates=[16,64]", "paragraphs.max_rows=null")
    assert (built.data, built.duplicates, built.max_rows) == ("passages_wikipedia", [16, 64], None)
    assert source("tofu", "paragraphs.percent=5", "paragraphs.prefix_length=9").prefix_length == 9


@pytest.mark.parametrize(
    "name", ["hubble_1b", "hubble_8b", "muse_news", "muse_books", "tofu_llama_3_2_1b", "olmo2_1b", "olmo2_7b"]
)
def test_the_stages_models_are_named(name):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(overrides=[f"+model={name}"])
    built = instantiate(cfg.model)
    assert built.name_or_path.count("/") == 1 and not built.name_or_path.startswith("/")
    assert (built.tokenizer is None) == (not name.startswith("muse"))


def test_overrides_reach_the_file_source(tmp_path):
    np.save(tmp_path / "A.npy", np.arange(6).reshape(2, 3))
    np.save(tmp_path / "B.npy", np.arange(4).reshape(2, 2))
    torch.save(torch.arange(10).reshape(2, 5), tmp_path / "r.pt")
    built = source(
        "files",
        "paragraphs.prefix_length=3",
        "paragraphs.continuation_length=2",
        f"paragraphs.forget={{prefix: {tmp_path}/A.npy, continuation: {tmp_path}/B.npy}}",
        f"paragraphs.retain={tmp_path}/r.pt",
    )
    loaded = built.load()
    assert loaded.forget.ids.tolist() == [[0, 1, 2, 0, 1], [3, 4, 5, 2, 3]]
    assert len(loaded.retain) == 2


def test_overrides_reach_the_hub_source():
    built = source("hub", "paragraphs.name=json", "paragraphs.data_files=[a.jsonl,b.jsonl]", "paragraphs.max_rows=7")
    assert built == sources.HubSource(
        name="json",
        split="train",
        column=None,
        prefix_length=50,
        continuation_length=50,
        max_rows=7,
        data_files=["a.jsonl", "b.jsonl"],
    )
