"""`--help`: this command's groups, and the settings of what is chosen, with what the config files say of each."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from memunlearn.commands.config_files import groups_of
from memunlearn.commands.configs import CONF

WIDTH = 128
SWEEPS = ("train",)
CLOSING = """\
--cfg job shows the whole config as it would be used, --config-dir DIR adds config files of your own, --hydra-help lists Hydra's
own options. Tab completes groups and settings after: eval "$({program} -sc install=bash)\""""
# Which of Hydra's or of our own keys are no settings of a person.
INNER = re.compile(r"_\w+_:|defaults:|hydra:|source:")


def asked_for(arguments: Sequence[str]) -> bool:
    return any(argument in ("-h", "--help") for argument in arguments)


def help_text(command: str, program: str, arguments: Sequence[str]) -> str:
    """program: what starts the command. arguments: as they were typed; options that they choose are shown, not the default."""
    folders = [CONF, *_own_folders(arguments)]
    file = CONF / f"{command}.yaml"
    groups = groups_of(command)
    chosen = groups | {name: option.split(",") for name, option in _given(arguments).items() if name in groups}
    sweep = "; with -m and several values, A,B, all combinations of them as a sweep" if command in SWEEPS else ""
    parts = [
        f"{program}: {_what(file).partition(': ')[2]}",
        f"{program} [GROUP=OPTION ...] [SETTING=VALUE ...] [hydra.run.dir=DIR, where it writes]{sweep}",
        "\n".join(["Groups, and what is chosen in each (*):", *_options(groups, chosen, folders)]),
        "\n".join(["Settings:", *_settings(file)]),
    ]
    for group, options in chosen.items():
        for option in options:
            files = [folder / group / f"{option}.yaml" for folder in folders]
            where = next((file for file in files if file.is_file()), None)
            if where is not None and (lines := _settings(where)):
                title = f"{group}={option}, {group}.SETTING" + (f": {what}" if (what := _what(where)) else "")
                parts.append("\n".join([title, *lines]))
    return "\n\n".join([*parts, CLOSING.format(program=program)]) + "\n"


def _given(arguments: Sequence[str]) -> dict[str, str]:
    return {name: value.strip("[]") for name, equals, value in (argument.partition("=") for argument in arguments) if equals}


def _options(groups: Mapping[str, list[str]], chosen: Mapping[str, list[str]], folders: Sequence[Path]) -> Iterator[str]:
    width = max(map(len, groups)) + 2
    for group in groups:
        names = sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})
        listed = ", ".join(f"{name}*" if name in chosen[group] else name for name in names)
        yield from textwrap.wrap(
            listed, WIDTH, initial_indent=f"  {group:<{width}}", subsequent_indent=" " * (width + 2), break_on_hyphens=False
        )


def _what(file: Path) -> str:
    """What the file's first comment says."""
    comments = []
    for line in file.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            comments.append(line.removeprefix("#").strip())
    return " ".join(comments)


def _settings(file: Path) -> list[str]:
    """The lines of a config file that are about settings, with their comments, indented."""
    kept: list[str] = []
    above: list[str] = []  # comments, which belong to what they stand above
    skipping = True
    lines = file.read_text("utf-8").splitlines()
    header = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    for line in lines[header:]:
        if line.startswith("#"):
            above.append(f"  {line}")
        elif line[:1] not in ("", " "):
            skipping = bool(INNER.match(line))
            kept += [] if skipping else [*above, f"  {line}"]
            above = []
        elif line.strip() and not skipping and not INNER.match(line.strip()):
            kept.append(f"  {line}")
    return kept


def _own_folders(arguments: Sequence[str]) -> Iterator[Path]:
    """Those of --config-dir."""
    for argument, following in pairwise([*arguments, ""]):
        name, equals, value = argument.partition("=")
        if name in ("--config-dir", "-cd"):
            yield Path(value if equals else following).expanduser()
