"""What must not be shown: passwords in URLs, and values of settings that are passwords or keys by their name."""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "***"

_NAME = r"(?:\w*(?:password|passwd|secret|api_key|apikey|secret_key|access_key|access_token|auth_token|hf_token)|token)"
# With a user's name the password may hold any sign but a blank, @ and / too; without one it ends where a path begins.
_USER_AND_PASSWORD = re.compile(r"(?P<before>[A-Za-z][\w+.-]*://[^\s/:@'\"]*):(?P<hidden>[^\s'\"]*)@")
_USER = re.compile(r"(?P<before>[A-Za-z][\w+.-]*://)(?P<hidden>[^\s/:@'\"]+)@")
_PARAMETER = re.compile(rf"(?P<before>[?&]{_NAME}=)(?P<hidden>[^\s&'\"]+)", re.IGNORECASE)
_SETTING = re.compile(rf"(?P<before>(?:^|[\s'\"+~.-]){_NAME}=)(?P<hidden>'[^']*'|\"[^\"]*\"|[^\s'\"]+)", re.IGNORECASE)
_HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
_SECRET_NAME = re.compile(_NAME, re.IGNORECASE)
_PORT_AND_PATH = re.compile(r"\d+(/|$)")


def without_passwords(text: str) -> str:
    """The text with `***` in place of every password, key and token that can be told from its place."""
    text = _USER_AND_PASSWORD.sub(_of_user, text)
    text = _USER.sub(rf"\g<before>{HIDDEN}@", text)
    for pattern in (_PARAMETER, _SETTING):
        text = pattern.sub(rf"\g<before>{HIDDEN}", text)
    return _HUB_TOKEN.sub(HIDDEN, text)


def hide_passwords(data: Any) -> Any:
    """The same nested dicts and lists with `without_passwords` in every text, and nothing of settings with a secret's name."""
    if isinstance(data, dict):
        return {
            key: HIDDEN if isinstance(value, str) and value and _SECRET_NAME.fullmatch(str(key)) else hide_passwords(value)
            for key, value in data.items()
        }
    if isinstance(data, list | tuple):
        return [hide_passwords(value) for value in data]
    return without_passwords(data) if isinstance(data, str) else data


def _of_user(match: re.Match[str]) -> str:
    # https://host:8080/path@revision has a port, and no password.
    return match[0] if _PORT_AND_PATH.match(match["hidden"]) and "/" in match["hidden"] else f"{match['before']}:{HIDDEN}@"
