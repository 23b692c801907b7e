"""Walls that neither ruff nor import-linter can hold."""

import ast
from pathlib import Path

import memunlearn

PACKAGE = Path(memunlearn.__file__).parent
FIELDS_BY_POSITION = 5


def dataclasses_of(path):
    """(name, number of fields, whether they are given by name) of every dataclass in a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        decorators = [ast.unparse(decorator) for decorator in getattr(node, "decorator_list", ())]
        if isinstance(node, ast.ClassDef) and any(decorator.startswith("dataclass") for decorator in decorators):
            fields = [line for line in node.body if isinstance(line, ast.AnnAssign) and "ClassVar" not in ast.unparse(line)]
            yield node.name, len(fields), any("kw_only=True" in decorator for decorator in decorators)


def test_large_dataclasses_are_made_by_name():
    """Two neighbouring seeds or lengths cannot be swapped unseen."""
    found = [(path.relative_to(PACKAGE), *made) for path in sorted(PACKAGE.rglob("*.py")) for made in dataclasses_of(path)]
    assert len(found) > 100
    assert not [(str(path), name) for path, name, fields, by_name in found if fields > FIELDS_BY_POSITION and not by_name]


def test_no_file_is_long():
    lines = {str(path.relative_to(PACKAGE)): len(path.read_text("utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert not {path: number for path, number in lines.items() if number > 300}


def test_test_files_have_names_of_their_own():
    """Else pytest collects only one of two that have the same name in different folders."""
    names = [path.name for path in Path(__file__).parent.rglob("*.py") if path.name not in ("conftest.py", "__init__.py")]
    assert sorted(names) == sorted(set(names))
