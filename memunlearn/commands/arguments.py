"""Arguments as they are typed, made into what Hydra's grammar takes: a path may hold any sign, a name may be a number."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf

NAMES = frozenset(
    {
        *("model.name_or_path", "model.tokenizer", "model.revision", "model.attn_implementation"),
        *(f"paragraphs.{name}" for name in ("column", "name", "subset", "split", "revision", "base_url", "cache_dir")),
        *(f"paragraphs.{name}" for name in ("base", "data", "corpus", "template", "other")),
        *("patch", "reference", "reference.base", "reference.oracle", "reference.second_oracle", "frequency", "column"),
        *("certificate.search", "windows"),
        *(f"logger.{name}" for name in ("name", "project", "entity", "group", "id", "notes", "version")),
    }
)
"""Settings whose value is text, whatever it looks like."""

FILES = frozenset(
    {
        *(f"paragraphs.{name}" for name in ("path", "forget", "bystander", "retain", "protected", "unseen")),
        *("texts", "retain", "bystander", "protected"),  # of find and takedown
    }
)
"""Text as well, or a pair {prefix: A.npy, continuation: B.npy}, or a list of files and folders."""

SETTINGS = frozenset({"unlearn", "evaluate"})
"""Lists of settings for the stages of a takedown, [KEY=VALUE,KEY=VALUE]."""

FOLDERS = frozenset({"hydra.run.dir", "hydra.sweep.dir"})
"""Text as well; Hydra would make a folder named ~."""

PATTERNS = "model.patterns"

_KEY = re.compile(r"\+{0,2}[\w./@:\-]+")
_QUOTES = frozenset("'\"")
_HYDRA_SIGNS = re.compile(r"[\\()\[\]{}:=, ]")
_PLAIN_LIST = re.compile(r"\[([^\[\]{}'\"]*)\]")
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/._-]*")
_NO_TEXT = ("true", "false", "null", "nan", "inf")
_NUMBERS = re.compile(r"[\w.+\-]+(,[\w.+\-]+)*")


def as_typed(arguments: Sequence[str]) -> list[str]:
    """The arguments, values quoted where Hydra would refuse them, or take what is text for a number, a list or a sweep."""
    sweeps = any(argument in ("-m", "--multirun") or argument == "hydra.mode=MULTIRUN" for argument in arguments)
    return [_as_typed(argument, sweeps) for argument in arguments]


def quoted(value: str) -> str:
    """The value as Hydra's grammar writes text that may hold anything."""
    return QuotedString(text=value, quote=Quote.single).with_quotes()


def plain_or_quoted(value: str) -> str:
    """The value as Hydra's grammar reads it for text: quoted unless it is letters, digits and signs of plain paths only, and no
    word or number of the grammar."""
    return value if _PLAIN.fullmatch(value) and value.lower() not in _NO_TEXT else quoted(value)


def literal(value: str) -> str:
    """The same for a value in which nothing is to be filled in."""
    return plain_or_quoted(value.replace("${", "\\${"))


def override(key: str, path: str) -> str:
    """KEY=PATH so that Hydra reads just this path."""
    return f"{key}={literal(path)}"


def _as_typed(argument: str, sweeps: bool) -> str:
    key, equals, value = argument.partition("=")
    if not equals or not _KEY.fullmatch(key) or key.startswith("-"):
        return argument
    name = key.lstrip("+")
    if name in FILES and value.startswith("[") and not os.path.exists(os.path.expanduser(value)):
        return f"{key}={_list(value)}"
    if name in SETTINGS and value.startswith("[") and value.endswith("]") and not _QUOTES.intersection(value):
        return f"{key}=[{','.join(quoted(one.strip()) for one in _apart(value[1:-1]))}]"
    override = _parsed(argument)
    plain = value if override is None else override.value()
    if name in FOLDERS and isinstance(plain, str) and plain.startswith("~"):
        return f"{key}={quoted(os.path.expanduser(plain))}"
    if override is None:
        if name == PATTERNS and (table := _table(value)) is not None:
            return f"{key}={table}"
        # What is in brackets may be a table or a list with a slip in it, and should not become text for that.
        if value.startswith(("[", "{")) and name not in NAMES | FILES | FOLDERS:
            return argument
        instead = f"{key}={_each_quoted(value) if sweeps else quoted(value)}"
        return argument if _parsed(instead) is None else instead
    if name in NAMES | FILES:
        if _is_not_text(override, name in FILES, sweeps):
            return f"{key}={quoted(value)}"
        if override.is_sweep_override() and _NUMBERS.fullmatch(value):
            return f"{key}={_each_quoted(value)}"
    return argument


def _each_quoted(value: str) -> str:
    """In a sweep commas stand between values, but not within brackets or quotes."""
    return quoted(value) if re.search(r"[\[\](){}'\"]", value) else ",".join(quoted(one) for one in value.split(","))


def _apart(inner: str) -> list[str]:
    """What stands between commas that are in no bracket."""
    parts, depth = [""], 0
    for sign in inner:
        depth += (sign in "[{(") - (sign in "]})")
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [part for part in parts if part.strip()]


def _list(value: str) -> str:
    """A list of paths without quotes, each quoted where it must be; one with quotes as it is."""
    if (plain := _PLAIN_LIST.fullmatch(value)) is None:
        return value
    return f"[{','.join(plain_or_quoted(path.strip()) for path in plain[1].split(',') if path.strip())}]"


def _table(value: str) -> str | None:
    """A YAML mapping of texts in Hydra's grammar, which knows no quoted keys; None if it is none."""
    try:
        content = OmegaConf.to_container(OmegaConf.create(value))
    except Exception:  # YAML's errors, and OmegaConf's for what is no mapping
        return None
    if not isinstance(content, dict):
        return None
    keys = [_HYDRA_SIGNS.sub(r"\\\g<0>", str(key)) for key in content]
    return "{" + ", ".join(f"{key}: {quoted(str(one))}" for key, one in zip(keys, content.values(), strict=True)) + "}"


def _parsed(argument: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None


def _is_not_text(override: Override, may_be_pair: bool, sweeps: bool) -> bool:
    """Whether Hydra takes a value that is meant as text for something else."""
    if override.is_sweep_override():
        return not sweeps
    value = override.value()
    return isinstance(value, bool | int | float | list) or (isinstance(value, dict) and not may_be_pair)
