"""evaluate.py patch=FILE: what the command line leaves open is taken from the config of the run that made the patch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from memunlearn.commands.call import Call
from memunlearn.commands.offered import check_offered
from memunlearn.commands.settings import allowed_names
from memunlearn.errors import UserError
from memunlearn.models.patches import Patch
from memunlearn.results.old_names import TARGET, config_today

# Settings of paragraphs that say which rows there are; the others say how they are read and split.
WHICH_ROWS = (
    "path forget bystander retain protected suspected name subset split revision data_files streaming max_rows base_url source "
    "cache_dir base data duplicates corpus percent files other"
).split()
# Where things lie on the machine of whoever made the patch.
OF_THE_MACHINE = ("base_url", "cache_dir")
BY_NAME = ("forget", "bystander", "retain", "protected", "suspected")
LENGTHS = ("prefix_length", "continuation_length")
GROUPS = ("model", "paragraphs", "demo")


def given_on_the_command_line(call: Call) -> dict[str, bool]:
    """Every setting and group that this command names, without signs such as ++."""
    overrides = OverridesParser.create().parse_overrides(list(call.given))
    return {override.key_or_group: True for override in overrides}


def names_rows(given: Mapping[str, bool]) -> bool:
    """Whether the command line says which paragraphs to evaluate."""
    return "paragraphs" in given or any(f"paragraphs.{name}" in given for name in WHICH_ROWS)


def with_settings_of(patch: Patch, cfg: DictConfig, given: Mapping[str, bool], folders: Collection[Path]) -> DictConfig:
    """The config with the run's model, tokenizer, demo, seed and ways of reading; its paragraphs too, where none are named.

    What is given on the command line stays. folders: of config files. Raises UserError where the patch's config is not one of
    this project's: it may be a stranger's file, and what it names is built.
    """
    run = _groups(patch)
    if run is None:  # saved in a notebook, without a config
        return cfg
    _check(run, Path(str(cfg.patch)), folders, allowed_names(cfg))
    composed: dict[str, Any] = OmegaConf.to_container(cfg, resolve=False)  # type: ignore[assignment]
    for name, value in _open(run["demo"], "demo", given):
        if name not in LENGTHS:  # those follow the paragraphs'
            composed["demo"][name] = value
    composed["model"] = _model(composed["model"], run["model"], given)
    composed["paragraphs"] = _paragraphs(composed["paragraphs"], run["paragraphs"], given)
    seed = patch.config.get("seed")
    if "seed" not in given and isinstance(seed, int):
        composed["seed"] = seed
    return OmegaConf.create(composed)


def split_seed_of(patch: Patch) -> int | None:
    """The seed by which the run's rows were split; None where its config does not say."""
    seeds = patch.config.get("seeds")
    seed = seeds.get("split") if isinstance(seeds, Mapping) else None
    return seed if isinstance(seed, int) else None


def paragraphs_of(patch: Patch, cfg: DictConfig) -> DictConfig | None:
    """The source of the run's own paragraphs, read with the settings of `cfg`; None where the patch has no config."""
    run = _groups(patch)
    if run is None:
        return None
    how = {name: cfg.paragraphs[name] for name in cfg.paragraphs if name in run["paragraphs"] and name not in WHICH_ROWS}
    paragraphs = _linked({**run["paragraphs"], **how})
    source: DictConfig = OmegaConf.create({"demo": cfg.demo, "paragraphs": paragraphs}).paragraphs.source
    return source


def _groups(patch: Patch) -> dict[str, Mapping[str, Any]] | None:
    """The run's settings by group."""
    config = config_today(patch.config)
    run = {name: config.get(name) for name in GROUPS}
    groups = {name: group for name, group in run.items() if isinstance(group, Mapping)}
    return groups if len(groups) == len(run) and isinstance(groups["paragraphs"].get("source"), Mapping) else None


def _open(group: Mapping[str, Any], prefix: str, given: Mapping[str, bool]) -> Iterator[tuple[str, Any]]:
    """The run's settings of a group that the command line leaves open."""
    for name, value in group.items():
        if not name.startswith("_") and f"{prefix}.{name}" not in given:
            yield name, value


def _model(composed: dict[str, Any], run: Mapping[str, Any], given: Mapping[str, bool]) -> dict[str, Any]:
    """The run's model; a setting that is given stays, and so does what a model that is given by name says."""
    by_name = "model" in given
    if by_name and composed["_target_"] != run.get("_target_"):
        return composed
    stays = {name for name, value in composed.items() if f"model.{name}" in given or (by_name and value is not None)}
    return {**_with_demo(run), **{name: composed[name] for name in stays}}


def _paragraphs(composed: dict[str, Any], run: Mapping[str, Any], given: Mapping[str, bool]) -> dict[str, Any]:
    """The run's paragraphs, or those that are given, read as the run read its own."""
    explicit = {name: value for name, value in composed.items() if f"paragraphs.{name}" in given}
    # A run of an older version may lack a setting.
    run = {**{name: value for name, value in composed.items() if name not in WHICH_ROWS}, **run}
    if not names_rows(given):
        return _linked({**run, **explicit})
    if "paragraphs" not in given and "path" in run["source"]:  # a corpus by its path alone: as one of the run's kind
        nothing = {name: None for name in BY_NAME if name in run}
        return _linked({**run, **nothing, **explicit})
    how = {name: value for name, value in _open(run, "paragraphs", given) if name in composed and name not in WHICH_ROWS}
    return {**composed, **how}


def _linked(group: Mapping[str, Any]) -> dict[str, Any]:
    """Paragraphs whose source follows their settings again, as it does in conf/."""
    source = {name: f"${{..{name}}}" if name in group else value for name, value in group["source"].items()}
    local = {name: None for name in OF_THE_MACHINE if name in group}
    if "base_url" in source:  # the class knows where the files are
        del source["base_url"], local["base_url"]
    return {**group, **local, "source": _with_demo(source)}


def _with_demo(group: Mapping[str, Any]) -> dict[str, Any]:
    return {**group, "demo": "${demo}"} if "demo" in group else dict(group)


def _check(run: Mapping[str, Any], file: Path, folders: Collection[Path], allowed: Sequence[str]) -> None:
    """Raises UserError where these settings, which may be anyone's, name what no config here offers, or what no run writes."""
    check_offered(run, file, folders, allowed)
    for name in _keys(run):
        if name.startswith("_") and name not in (TARGET, "_convert_"):
            raise UserError(f"{file}: its config has {name}, which no run writes: copy the patch again from the run")


def _keys(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield str(key)
            yield from _keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from _keys(value)
