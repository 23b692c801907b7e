"""Whether files are whole, and whether two runs left the same."""

import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import safetensors
import torch
import yaml
from PIL import Image

from memunlearn.results.curve import read_curve

Content = dict[str, Any]

# Hydra's own, which it writes as it pleases: what it composed, and its log.
HYDRAS = re.compile(r"(^|/)(\.hydra/(hydra|overrides|config)\.yaml|multirun\.yaml|[a-z_]+\.log)$")
TIMES = re.compile(r"\b\d+(\.\d+)? (s|min|seconds)\b")
RESUMED = re.compile(r"resume(&#34;|\")?: (true|false)")
LOCK = ".lock"


def torn(roots: Sequence[Path]) -> list[str]:
    """Files under a final name that cannot be read as what their name says."""
    found = []
    for root in roots:
        for path in _files(root):
            name = str(path.relative_to(root.parent))
            if ".tmp-" not in name and not HYDRAS.search(name):
                try:
                    _read(path)
                except Exception as error:
                    found.append(f"{name} ({type(error).__name__}: {error})")
    return found


def content(roots: Sequence[Path]) -> Content:
    """Every file's content by its path, without what tells the time."""
    return {
        str(path.relative_to(root.parent)): _without_times(path)
        for root in roots
        for path in _files(root)
        if not HYDRAS.search(str(path))
    }


def differences(found: Content, expected: Content) -> list[str]:
    said = [f"{name} is left behind" for name in sorted(found.keys() - expected.keys())]
    said += [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    common = sorted(found.keys() & expected.keys())
    return said + [f"{name} differs" for name in common if not _equal(found[name], expected[name])]


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if not path.name.endswith(LOCK) and (path.is_file() or ".tmp-" in path.name):
            yield path


def _read(path: Path) -> Any:
    match path.suffix:
        case ".json":
            return json.loads(path.read_text("utf-8"))
        case ".yaml":
            assert isinstance(kept := yaml.safe_load(path.read_text("utf-8")), dict)
            return kept
        case ".parquet":
            return pyarrow.parquet.read_table(path)
        case ".safetensors":
            with safetensors.safe_open(path, "pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}
        case ".ckpt":
            return torch.load(path, weights_only=True)
        case ".png":
            Image.open(io.BytesIO(path.read_bytes())).load()
        case ".pdf":
            assert path.read_bytes().rstrip().endswith(b"%%EOF")
        case ".html":
            assert path.read_text("utf-8").rstrip().endswith("</html>")
        case ".csv":
            assert path.read_bytes().endswith(b"\n")
            read_curve(path)
        case _:
            assert path.stat().st_size or path.name.startswith("."), f"{path} is empty"
    return path.read_bytes()


def _without_times(path: Path) -> Any:
    if ".tmp-" in str(path):
        return None
    match path.suffix:
        case ".json":
            return _plain(_read(path))
        case ".yaml":
            return _plain(_read(path))
        case ".parquet":
            table = _read(path)
            return table.select([name for name in table.column_names if not name.startswith("seconds")])
        case ".safetensors":
            tensors, about = _read(path)
            return tensors, _plain(json.loads(about["config"])) if "config" in about else about
        case ".html" | ".md":
            return TIMES.sub("TIME", RESUMED.sub("RESUMED", path.read_text("utf-8")))
        case _:
            return _read(path)


def _plain(data: Any) -> Any:
    """Without times and without whether the run was resumed."""
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items() if key not in ("seconds", "resume", "allow", "checksum")}
    return [_plain(value) for value in data] if isinstance(data, list) else data


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()
    if isinstance(one, pyarrow.Table):
        return one.equals(other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other or (one != one and other != other)
