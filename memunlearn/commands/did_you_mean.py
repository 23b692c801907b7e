"""A setting or an option that does not exist: which one was meant, told by what there is in conf/."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import SequenceMatcher, get_close_matches
from typing import Any

from hydra.errors import ConfigCompositionException, MissingConfigException

from memunlearn.commands.config_files import SEVERAL, groups_of, in_place, plain
from memunlearn.commands.configs import CONF
from memunlearn.words import either, listed

AT_MOST = 3
CUTOFF = 0.6
ALIKE = 0.1
"""Names that are less alike than the best by more than this are not named beside it."""
NOT_FOUND = re.compile(r"Could not (?:find|load) '([\w/.-]+)/([\w.-]+)'")
AVAILABLE = re.compile(r"Available options in '[^']+':\s*([\w\s.-]+?)\s+Config search")


def did_you_mean(error: BaseException, command: str | None) -> str | None:
    """The line for Hydra's complaint about a name that there is not; None for any other error, and for Hydra's own settings.

    command: whose settings are looked through; None: those of every command.
    """
    if isinstance(error, MissingConfigException):
        found, there = NOT_FOUND.search(str(error)), AVAILABLE.search(str(error))
        if found is None or found[1].startswith("hydra"):
            return None
        return _option(found[1], found[2], there[1].split() if there else _options_of(found[1]))
    if isinstance(error, ConfigCompositionException):
        found = re.match(r"Could not override '([\w./@-]+)'", str(error))
        return None if found is None or found[1].startswith("hydra") else _setting(found[1], command)
    return None


def closest(name: str, known: Collection[str]) -> list[str]:
    """At most three of these names, the most alike first: all that end in the same word, else those that are written alike."""
    last = name.rpartition(".")[2]
    if same := sorted(one for one in known if one.rpartition(".")[2] == last):
        return same[:AT_MOST]
    alike = get_close_matches(name, list(known), AT_MOST, CUTOFF)
    ratios = [SequenceMatcher(None, one, name).ratio() for one in alike]
    return [one for one, ratio in zip(alike, ratios, strict=True) if ratio >= ratios[0] - ALIKE]


def settings_of(command: str) -> list[str]:
    """Every setting and config group that this command has with some choice of options, by its dotted name."""
    groups = groups_of(command)
    names = {*groups, *_names(plain(CONF / f"{command}.yaml"), "")}
    for group in groups:
        for file in sorted((CONF / group).glob("*.yaml")):
            own = f"{group}.{file.stem}." if group in SEVERAL else f"{group}."
            names |= set(_names(plain(file), own if in_place(file) else ""))
    return sorted(name for name in names if not name.startswith("hydra") and not name.rpartition(".")[2].startswith("_"))


def commands() -> list[str]:
    """Those that have a config of their own."""
    return sorted(file.stem for file in CONF.glob("*.yaml") if file.stem != "run")


def _names(content: Any, prefix: str) -> Iterator[str]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            if key == "defaults":
                continue
            yield f"{prefix}{key}"
            yield from _names(value, f"{prefix}{key}.")


def _setting(name: str, command: str | None) -> str:
    known = {each: settings_of(each) for each in commands()}
    looked_through = known if command not in known else {command: known[command]}
    elsewhere = [each for each in known if each not in looked_through and name in known[each]]
    meant = closest(name, {one for names in looked_through.values() for one in names} - {name})
    adds = f"(+{name}=VALUE adds one, for a class of your own)"
    if elsewhere:
        has = "has" if len(elsewhere) == 1 else "have"
        return f"{name}: {command} has no such setting, {listed(elsewhere)} {has} it: leave it out"
    if meant:
        return f"{name}: there is no such setting: did you mean {either(meant)}? {adds}"
    return f"{name}: there is no such setting: --help lists those that there are {adds}"


def _options_of(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def _option(group: str, name: str, options: list[str]) -> str | None:
    if not options or name in options:
        return None
    meant = closest(name, options)
    question = f"did you mean {either([f'{group}={one}' for one in meant])}? " if meant else ""
    return f"{group}={name}: there is no such option: {question}There are {', '.join(options)}"
