"""Settings of the wrong type are refused before any work, by the name that the user gave them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from memunlearn.commands.arguments import FILES, NAMES
from memunlearn.commands.call import Call
from memunlearn.commands.config_files import SEVERAL, in_place, plain
from memunlearn.commands.offered import NOT_GROUPS, targets_in
from memunlearn.errors import UserError
from memunlearn.results.old_names import RENAMED

LARGEST_SEED = 2**32 - 1  # numpy's
# Lightning and PyTorch check their own, and know more types than that of the default.
NOT_OURS = ("trainer.", "optimizer.", "hydra.", "hydra/")
# null is a value of these: no limit, or (p_z) not measured.
LIMITS = ("paragraphs.max_", "objective.max_", "p_z.top_k")


def check_settings(cfg: DictConfig, call: Call, kept: bool = False) -> None:
    """Raises UserError where a setting is not of the type that its default has in conf/, or out of range.

    A default that is null says nothing about the type, but of those that are names of something; where the default is text,
    anything may stand. kept: the config is not composed of this command's choices, but one that a run has kept.
    """
    for old, new in RENAMED.items():
        if (value := OmegaConf.select(cfg, old)) is not None:
            raise UserError(f"{old}={value}: this setting is {new} now: move it there in the config file that has it")
    for name in sorted((NAMES | FILES) - {"reference"}):  # which `ReferenceModels.of` reads
        value = OmegaConf.select(cfg, name)
        if isinstance(value, ListConfig | DictConfig) and name in NAMES:
            raise UserError(f"{name}={value} must be text: give one name, in quotes if it is written like a list")
        if isinstance(value, ListConfig) and any(not isinstance(path, str | int) for path in value):
            raise UserError(
                f"{name}={value} must be paths of files and folders: write [A.txt,FOLDER], each in quotes if need be"
            )
    files = list(_kept_files(cfg, call) if kept or call.choices is None else _files(cfg, call, call.choices))
    for section, names in (one for file in files for one in _sections(*file)):
        value = OmegaConf.select(cfg, section)
        if section not in NAMES | FILES and value is not None and not isinstance(value, DictConfig):
            known = ", ".join(f"{section}.{name}" for name in names)
            raise UserError(f"{section}={value}: {section} is not a setting itself; it has these: {known}")
    for name, default in (one for file in files for one in _scalars(*file)):
        value = OmegaConf.select(cfg, name)
        if name.startswith(NOT_OURS) or (value is None and _is_limit(name)):
            continue
        expected = _unlike(value, default)
        if expected:
            raise UserError(f"{name}={'null' if value is None else value} must be {expected}, such as {str(default).lower()}")
    seeds = {"seed": cfg.seed, **{f"seeds.{name}": value for name, value in cfg.get("seeds", {}).items()}}
    for name, value in seeds.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_SEED:
            raise UserError(f"{name}={value} must be a whole number from 0 to {LARGEST_SEED}")
    for name in ("batch_size", "accumulate"):
        if name in cfg and cfg[name] < 1:
            raise UserError(f"{name}={cfg[name]} must be 1 or more")


def in_place_of_null(group: DictConfig, key: str, value: Any) -> dict[str, Any]:
    """{key: value} if the group leaves this key null, for `instantiate`.

    A run's folder is filled in so, and not in conf/: the config says what was done, not where, and is the same for two runs.
    """
    return {key: str(value)} if key in group and group[key] is None else {}


def _is_limit(name: str) -> bool:
    return name.startswith(LIMITS) or (name.startswith("analysis.") and ".max_" in name)


def _unlike(value: Any, default: bool | int | float) -> str | None:
    """What the value should have been, or None if it is that."""
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "true or false"
    if isinstance(value, bool):
        return "a number"
    if isinstance(default, int):
        return None if isinstance(value, int) else "a whole number"
    return None if isinstance(value, int | float) else "a number"


def allowed_names(cfg: DictConfig) -> list[str]:
    """What the person at the keyboard allows a folder's config to name. Raises UserError if it is no list of names."""
    given = cfg.get("allow", [])
    allowed = OmegaConf.to_container(given) if isinstance(given, ListConfig) else given
    if not isinstance(allowed, list) or not all(isinstance(name, str) for name in allowed):
        raise UserError(f"allow={allowed} must be a list of names, such as 'allow=[torch.optim.RMSprop]'")
    return allowed


def _kept_files(cfg: DictConfig, call: Call) -> Iterator[tuple[Any, str]]:
    """The same for a config whose choices are not known: of every option that makes the class that it names."""
    for folder in call.folders:
        yield from _file(folder / f"{call.command}.yaml", "")
        for file in sorted(folder.glob("*/*.yaml")):
            group = file.parent.name
            if group not in NOT_GROUPS and OmegaConf.is_dict(cfg.get(group)):
                targets = targets_in(plain(file))
                if targets and all(OmegaConf.select(cfg[group], place) == target for place, target in targets.items()):
                    yield from _file(file, f"{group}.")


def _files(cfg: DictConfig, call: Call, choices: Mapping[str, str | None]) -> Iterator[tuple[Any, str]]:
    """(content, dotted name of where it stands) of the files that this job's config was composed of."""
    files = {"": f"{call.command}.yaml"}
    files |= {f"{group}.": f"{group}/{option}.yaml" for group, option in choices.items() if option and group not in SEVERAL}
    chosen = {group: cfg[group] for group in SEVERAL if OmegaConf.is_dict(cfg.get(group))}
    files |= {f"{group}.{name}.": f"{group}/{name}.yaml" for group, options in chosen.items() for name in options}
    for prefix, name in files.items():
        file = next((folder / name for folder in call.folders if (folder / name).is_file()), None)
        if file is not None:
            yield from _file(file, prefix)


def _file(file: Path, prefix: str) -> Iterator[tuple[Any, str]]:
    if file.is_file():
        yield plain(file), prefix if in_place(file) else ""


def _scalars(content: Any, prefix: str) -> Iterator[tuple[str, bool | int | float]]:
    """(dotted name, value) of every number and switch."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            if isinstance(value, bool | int | float):
                yield f"{prefix}{key}", value
            else:
                yield from _scalars(value, f"{prefix}{key}.")


def _sections(content: Any, prefix: str) -> Iterator[tuple[str, list[str]]]:
    """(dotted name, names of its settings) of everything that has settings."""
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield f"{prefix}{key}", [str(name) for name in value]
            yield from _sections(value, f"{prefix}{key}.")
