"""memunlearn: find the paragraphs that a language model recites, unlearn or edit them, and prove it.

The names that `__init__.pyi` lists are all that a notebook needs. Each is imported when it is first used, so that
`import memunlearn` costs nothing; type checkers and editors read the list itself.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"


def _listed() -> dict[str, str]:
    """The module of each name in `__init__.pyi`."""
    listed = ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8"))
    imports = [node for node in listed.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


_WHERE = _listed()
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'memunlearn' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return __all__
