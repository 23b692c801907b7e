"""Every file of conf/paragraphs composes, and overrides reach the source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from memunlearn.paragraphs import sources

CONF = Path(__file__).parents[2] / "conf"


def source(name, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(overrides=[f"+paragraphs={name}", *overrides])
    for key in ("prefix_length", "continuation_length"):
        assert cfg.paragraphs[key] == 50 or any(key in override for override in overrides)
    assert {"max_forget", "max_bystander", "max_retain"} <= set(cfg.paragraphs)
    return instantiate(cfg.paragraphs.source)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("files", sources.FileSource),
        ("hub", sources.HubSource),
        ("pile", sources.PileSource),
        ("lm_extraction", sources.LMExtractionSource),
    ],
)
def test_each_file_builds_its_source(name, kind):
    assert isinstance(source(name), kind)


def test_defaults_of_the_catalog_match_the_code():
    assert source("pile") == sources.PileSource()
    assert source("lm_extraction") == sources.LMExtractionSource()


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
