"""Rows that the model was never shown: what forgotten rows are compared with to tell membership."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from memunlearn.commands.inputs import check_fits, is_demo
from memunlearn.commands.run_rows import RunRows, join_clusters
from memunlearn.demo.model import UNSEEN as ORIGIN
from memunlearn.errors import UserError
from memunlearn.models.loading import LoadedModel
from memunlearn.models.patches import Patch
from memunlearn.paragraphs.clusters import clusters_of
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.paragraphs.readers import check_file, read_paragraphs
from memunlearn.paragraphs.roles import UNSEEN
from memunlearn.paragraphs.windows import MOST_WINDOWS, Cutting

# Sets of which no row is in a loss: what is never-seen may stand there, or be like a row there.
REPORTED_ONLY = ("retain", "retain_val")
NONE_GIVEN = (
    "no never-seen rows: name a file of text that the model was not trained on, paragraphs.unseen=FILE (the demo has its own, "
    "among the rows that are reported)"
)


def unseen_setting(cfg: DictConfig) -> Any:
    """The file or pair of files that `paragraphs.unseen` names, or None."""
    given = cfg.paragraphs.get(UNSEEN)  # a group of the user's own may lack it
    return OmegaConf.to_container(given) if OmegaConf.is_config(given) else given


def check_unseen(cfg: DictConfig) -> None:
    """Raises UserError for what can be told of that file before a model is loaded."""
    if (path := unseen_setting(cfg)) is not None:
        group = cfg.paragraphs
        check_file(path, group.prefix_length, group.continuation_length, group.get("column"))


def check_unseen_of(cfg: DictConfig, patch: Patch | None, given: Mapping[str, bool]) -> None:
    """Raises UserError where this command names such a file that cannot be read, or that nothing is to be compared with."""
    if f"paragraphs.{UNSEEN}" not in given or unseen_setting(cfg) is None:
        return
    if patch is None or patch.roles is None:
        raise UserError(
            f"paragraphs.{UNSEEN} is compared with the rows that a patch was to forget, and there is no patch here that says "
            "which these are: add patch=FILE, or leave it out"
        )
    check_unseen(cfg)


def with_unseen_rows(cfg: DictConfig, chosen: RunRows, loaded: LoadedModel, given: Mapping[str, bool]) -> tuple[RunRows, int]:
    """The run's rows and, as set `unseen`, those that `paragraphs.unseen` names, else those that its source has itself; and how
    many of these were left out, because they share a cluster with a row of the run that is more than reported (forgotten,
    memorized, in a loss).

    What the run named and is not to be had here is said, and gone without. Raises UserError for a file that this command names.
    """
    try:
        read = _read(cfg, loaded)
    except UserError as error:
        if f"paragraphs.{UNSEEN}" in given:
            raise
        print(f"the run's never-seen rows are not to be had: {error}", flush=True)
        return chosen, 0
    if read is None:
        return chosen, 0
    check_fits(loaded, read)
    if read.text_start != chosen.rows.text_start:
        raise UserError(
            f"paragraphs.{UNSEEN}: rows there {_beginning(read)}, the run's {_beginning(chosen.rows)}: give rows "
            "that begin alike (paragraphs.bos says what stands in front of text)"
        )
    rows = concatenate([chosen.rows, read])
    clusters = join_clusters(rows, chosen.clusters)
    # Not by these: a row that is like two clusters of the run has the number of one of them only.
    alike = clusters_of(rows)
    used = torch.tensor([name not in REPORTED_ONLY for name in chosen.names])
    fresh = ~torch.isin(alike[len(chosen.rows) :], alike[: len(chosen.rows)][used])
    kept = torch.cat([torch.ones(len(chosen.rows), dtype=torch.bool), fresh])
    count = int(fresh.sum())
    print(f"never-seen rows: {count}, {len(fresh) - count} left out: near-duplicates of rows that the run used", flush=True)
    return (
        replace(
            chosen,
            rows=rows.select(kept),
            names=[*chosen.names, *[UNSEEN] * count],
            clusters=clusters[kept],
            bins=[*chosen.bins, *[None] * count],
        ),
        len(fresh) - count,
    )


def _read(cfg: DictConfig, loaded: LoadedModel) -> ParagraphSet | None:
    """What `paragraphs.unseen` names, else the never-seen rows of the source; None where there are none."""
    group, path = cfg.paragraphs, unseen_setting(cfg)
    if path is None:
        source = instantiate(group.source)
        own: ParagraphSet | None = source.load_unseen(loaded.tokenizer) if hasattr(source, "load_unseen") else None
        return own
    return read_paragraphs(
        path,
        group.prefix_length,
        group.continuation_length,
        tokenizer=loaded.tokenizer,
        column=group.get("column"),
        bos=group.get("bos", "auto"),
        cutting=Cutting(UNSEEN, group.get("stride", "auto"), group.get("min_prefix"), group.get("max_windows", MOST_WINDOWS)),
    ).paragraphs


def _beginning(rows: ParagraphSet) -> str:
    return f"begin with {rows.text_start} tokens in front of the text" if rows.text_start else "begin with the text"


def never_seen(cfg: DictConfig, rows: ParagraphSet, names: Sequence[str]) -> Tensor:
    """[N] bool: rows of the set `unseen`; where there are none, the demo's own unseen rows of sets that are in no loss."""
    named = torch.tensor([name == UNSEEN for name in names], dtype=torch.bool)
    if bool(named.any()) or not is_demo(cfg):
        return named
    pairs = zip(names, rows.origin, strict=True)
    return torch.tensor([name in REPORTED_ONLY and origin.startswith(ORIGIN) for name, origin in pairs], dtype=torch.bool)
