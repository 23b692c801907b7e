"""Charts as files for papers: PNG and PDF, the same bytes every time."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memunlearn.charts.description import Chart
from memunlearn.charts.vega_lite import VEGA_LITE, figure
from memunlearn.files.writing import write_bytes

# In pixels of 1/96 inch: a figure of one, two, three or more panels side by side.
WIDTHS = {1: 624, 2: 710, 3: 864}
WIDEST_PANEL = 260
DOTS_PER_INCH, PIXELS_PER_INCH, POINTS_PER_INCH = 150, 96, 72
COLOURS = 256
"""That the palette of a PNG holds: it makes a file smaller, and is used only where every colour stays what it is."""
INVISIBLE = re.compile(r'<path [^<>]* opacity="0"[^<>]*/>')
"""Marks that are there for the pointer."""
RESOURCES = re.compile(rb"(?: +/[a-z]{2}\d+ \d+ 0 R\n){2,}")


@dataclass(frozen=True)
class Picture:
    """One figure as the bytes of its files; `name` without a suffix."""

    name: str
    png: bytes
    pdf: bytes


def picture(chart: Chart) -> Picture:
    """The chart's files."""
    columns = max(1, min(chart.columns, len(chart.panels)))
    drawn = figure(chart, columns, WIDTHS.get(columns, WIDEST_PANEL * columns))
    return Picture(chart.name, *rendered(drawn.whole))


def write_pictures(directory: Path, pictures: Sequence[Picture]) -> list[Path]:
    """`<name>.png` and `<name>.pdf` of each, in place of all that were there; returns what was written."""
    for old in [*directory.glob("*.png"), *directory.glob("*.pdf")]:
        old.unlink()
    written = []
    for one in pictures:
        for suffix, content in (("png", one.png), ("pdf", one.pdf)):
            path = directory / f"{one.name}.{suffix}"
            write_bytes(path, content)
            written.append(path)
    return written


def rendered(spec: dict[str, Any]) -> tuple[bytes, bytes]:
    """PNG and PDF of a specification with its data."""
    import vl_convert

    svg = INVISIBLE.sub("", vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE))
    png = vl_convert.svg_to_png(svg, scale=DOTS_PER_INCH / PIXELS_PER_INCH)
    return _as_small(png), _in_order(vl_convert.svg_to_pdf(_in_inches(svg)))


def _in_inches(svg: str) -> str:
    """The same drawing, where a pixel is taken for a point."""

    def smaller(size: re.Match[str]) -> str:
        return f'{size[1]}="{float(size[2]) * POINTS_PER_INCH / PIXELS_PER_INCH:g}"'

    head, end, rest = svg.partition(">")
    return re.sub(r'\b(width|height)="([\d.]+)"', smaller, head) + end + rest


def _in_order(pdf: bytes) -> bytes:
    """With the names of a page's resources sorted: they come in another order each time, in as many bytes."""
    return RESOURCES.sub(lambda names: b"".join(sorted(names[0].splitlines(keepends=True))), pdf)


def _as_small(png: bytes) -> bytes:
    """The same pixels without transparency, in fewer bytes."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        drawn = image.convert("RGB")
    if drawn.getcolors(COLOURS) is not None:
        # Pillow's quantizers may merge colours even where there are few.
        pixels = np.asarray(drawn)
        colours, places = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
        drawn = Image.fromarray(places.reshape(pixels.shape[:2]).astype(np.uint8)).convert("P")
        drawn.putpalette(colours.astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    drawn.save(buffer, "png", optimize=True, dpi=(DOTS_PER_INCH, DOTS_PER_INCH))
    return buffer.getvalue()
