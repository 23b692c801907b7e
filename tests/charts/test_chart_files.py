"""PNG and PDF files, as they are rendered."""

import hashlib
import io
import json
import os
import random
import re
import subprocess
import sys
import zlib
from pathlib import Path

import fake_charts
import numpy as np
import pytest
from PIL import Image

from memunlearn.charts.description import MEMORIZED, NON_MEMORIZED, OTHERS, Chart, Lines, Scatter, Series
from memunlearn.charts.files import Picture, picture, rendered, write_pictures
from memunlearn.charts.vega_lite import figure


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def has_colour(image, colour):
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return bool((np.abs(image - np.array(wanted)).max(axis=-1) < 6).any())


def streams(pdf):
    """Those of a PDF, inflated where they are packed."""
    for found in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.S):
        try:
            yield zlib.decompress(found[1])
        except zlib.error:
            yield found[1]


def searchable_text(pdf):
    """The characters that a PDF's fonts say their glyphs are."""
    known = set()
    for stream in streams(pdf):
        if b"beginbf" in stream:
            for code in re.findall(rb"<[0-9A-Fa-f]+>\s+<([0-9A-Fa-f]+)>", stream):
                known |= set(bytes.fromhex(code.decode()).decode("utf-16-be"))
    return known


@pytest.mark.parametrize(
    ("kind", "colour"),
    [
        ("lines", MEMORIZED),
        ("scatter", MEMORIZED),
        ("distributions", "#E69F00"),
        ("bars", OTHERS[0]),
        ("heat", "#08306b"),
        ("estimates", MEMORIZED),
        ("violins", NON_MEMORIZED),
    ],
)
def test_every_kind_is_a_legible_png_and_a_pdf(kind, colour):
    made = picture(fake_charts.chart(fake_charts.KINDS[kind](), columns=1))
    image = pixels(made.png)
    assert image.shape[1] > 850 and image.shape[0] > 250 and has_colour(image, colour)
    assert (image[0, 0] == 255).all() and (image[-1, -1] == 255).all()
    assert made.pdf.startswith(b"%PDF") and made.pdf.rstrip().endswith(b"%%EOF") and b"Type3" not in made.pdf


def test_other_numbers_are_another_picture():
    one, other = (picture(fake_charts.chart(fake_charts.heat(seed=seed))) for seed in (0, 1))
    assert one.png != other.png and one.pdf != other.pdf


def test_nothing_is_cut_off_at_the_edges():
    for chart in fake_charts.charts():
        image = pixels(picture(chart).png)
        edges = [image[:4], image[-4:], image[:, :4], image[:, -4:]]
        assert all((edge > 250).all() for edge in edges), chart.name


def test_sizes_are_those_of_paper():
    made = picture(fake_charts.chart(fake_charts.lines(), columns=1))
    image = Image.open(io.BytesIO(made.png))
    width, height = (float(size) for size in re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", made.pdf).groups())
    assert 5.9 < width / 72 < 6.8  # inches: a page's width
    assert image.size == pytest.approx((width / 72 * 150, height / 72 * 150), abs=3)
    assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)


def test_text_in_a_pdf_can_be_searched():
    series = Series(label="Quarzjodglühbirne ψ", x=[0, 1], y=[1, 2], colour=MEMORIZED)
    made = picture(
        Chart(
            name="c",
            caption="",
            alt="",
            panels=(Lines(title="Vexed pages", x_label="x axis", y_label="y axis", series=(series,)),),
        )
    )
    assert searchable_text(made.pdf) >= set("Quarzjodglühbirne ψ Vexed pages x axis") - {" "}


def test_a_pdf_of_many_points_is_small():
    draw = random.Random(0)

    def points(n, colour):
        return Series(
            label=colour, x=[draw.uniform(0, 50) for _ in range(n)], y=[draw.uniform(0, 5) for _ in range(n)], colour=colour
        )

    panel = Scatter(title="", x_label="EM", y_label="NLL", series=(points(1000, MEMORIZED), points(500, NON_MEMORIZED)))
    made = picture(fake_charts.chart(panel, columns=1))
    assert len(made.pdf) < 60_000 and len(made.png) < 200_000


def test_what_is_there_for_the_pointer_is_not_in_the_files():
    long = [fake_charts.series(n=3000, marker=marker) for marker in ("none", "o")]
    without, with_points = (
        len(picture(fake_charts.chart(Lines(title="", x_label="x", y_label="y", series=(series,)))).pdf) for series in long
    )
    assert without < with_points
    whole = figure(fake_charts.chart(fake_charts.lines()), 1, 600).whole
    assert b"/ca 0\n" not in rendered(whole)[1]


def test_pictures_are_the_same_every_time_and_in_every_process():
    chart = fake_charts.chart(fake_charts.distributions(), fake_charts.heat())
    here = picture(chart)
    assert picture(chart) == here and b"CreationDate" not in here.pdf
    code = (
        "import fake_charts, hashlib; from memunlearn.charts.files import picture\n"
        "made = picture(fake_charts.chart(fake_charts.distributions(), fake_charts.heat()))\n"
        "print(hashlib.sha256(made.png + made.pdf).hexdigest())"
    )
    where = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(fake_charts.__file__).parent), *sys.path])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=where)
    assert done.stdout.strip() == hashlib.sha256(here.png + here.pdf).hexdigest()


@pytest.mark.parametrize(("colours", "mode"), [(2, "P"), (256, "P"), (257, "RGB"), (5000, "RGB")])
def test_a_palette_is_used_only_where_it_changes_no_colour(monkeypatch, colours, mode):
    numbers = np.resize(np.arange(colours) * 3, 80 * 70).reshape(80, 70)
    image = np.stack([numbers % 256, numbers // 256, numbers % 7], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    monkeypatch.setattr("vl_convert.svg_to_png", lambda *_, **__: buffer.getvalue())
    png, _ = rendered(figure(fake_charts.chart(fake_charts.lines()), 1, 600).whole)
    assert Image.open(io.BytesIO(png)).mode == mode and (pixels(png) == image).all()


def test_a_script_of_any_language_and_no_text_at_all_are_drawn():
    strange = "_a $x$ \x00 \ud800 中文 العربية"
    panel = Lines(title=strange, x_label="", y_label="", series=(fake_charts.series(label=strange),))
    assert picture(Chart(name="c", caption="", alt="", panels=(panel,))).pdf.startswith(b"%PDF")


def test_a_specification_with_a_mistake_is_an_error():
    broken = figure(fake_charts.chart(fake_charts.lines()), 1, 600).whole
    broken["vconcat"][1]["concat"][0]["encoding"]["x"]["axis"]["labelExpr"] = "datum..x"
    with pytest.raises(ValueError, match="Expression parse error"):
        rendered(broken)


def test_rendering_leaves_the_specification_as_it_is():
    spec = figure(fake_charts.charts()[0], 1, 600).whole
    before = json.dumps(spec)
    rendered(spec)
    assert json.dumps(spec) == before


def test_pictures_replace_those_that_were_there(tmp_path):
    (tmp_path / "figures").mkdir()
    for stale in ("old.png", "old.pdf", "notes.txt"):
        (tmp_path / "figures" / stale).touch()
    written = write_pictures(tmp_path / "figures", [Picture("training", b"png", b"pdf")])
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"training.png", "training.pdf", "notes.txt"}
    assert [(path.name, path.read_bytes()) for path in written] == [("training.png", b"png"), ("training.pdf", b"pdf")]


def test_without_pictures_nothing_is_made(tmp_path):
    assert write_pictures(tmp_path / "figures", []) == [] and not (tmp_path / "figures").exists()
