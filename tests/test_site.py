"""The site of docs/: it has every page, and every name that `import memunlearn` offers; it builds without a warning."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import memunlearn

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


class Settings(yaml.SafeLoader):
    """mkdocs.yml may name Python objects."""


Settings.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda *_: None)


def pages(nav):
    for entry in nav:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else pages(value)


def test_every_page_is_in_it_once():
    nav = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), Settings)["nav"]
    assert sorted(pages(nav)) == sorted(file.name for file in DOCS.glob("*.md"))


def test_every_name_of_the_package_is_described():
    shown = re.findall(r"^::: ([\w.]+)$", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE)
    offered = [f"{memunlearn._WHERE[name]}.{name}" for name in memunlearn.__all__]
    assert sorted(shown) == sorted(offered)


@pytest.mark.slow
def test_it_builds_without_a_warning_and_asks_nobody_for_anything(tmp_path):
    arguments = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert not re.findall(r"WARNING +-", built.stderr)
    for page in DOCS.glob("*.md"):
        html = (tmp_path / "site" / f"{page.stem}.html").read_text("utf-8")
        # What a browser fetches by itself, not what a reader may click on.
        fetched = re.findall(r"<(?:link|script|img)[^>]+(?:href|src)=[\"']?(https?:[^\"'> ]+)", html)
        assert not [address for address in fetched if "canonical" not in address], page.name
    assert "unlikelihood" in (tmp_path / "site" / "api.html").read_text("utf-8").lower()
