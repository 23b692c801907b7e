"""The summary's files, from whole sweeps and from what is left of broken ones."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import fake_sweeps
import pyarrow.parquet
import pytest
from fake_sweeps import config

from memunlearn.charts.page import page_figure
from memunlearn.reporting.__main__ import main
from memunlearn.reporting.sweep_summary import write_summary
from memunlearn.sweeps.content import content_of
from memunlearn.sweeps.figures import sweep_charts
from memunlearn.sweeps.runs import read_sweep

HOSTILE = "</script><script>alert(1)</script> | </table> & [bold]"
FILES = {
    "sweep.parquet",
    "sweep.md",
    "sweep.html",
    *(f"figures/{name}.{kind}" for name in ("trajectories", "violins", "differences") for kind in ("png", "pdf")),
}


class Parsed(HTMLParser):
    """Scripts, text outside of them, links, and whether every element was closed in order."""

    VOID = {"meta", "link", "br", "img"}

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.scripts, self.links, self.text = [], [], [], ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attributes), ""))
        self.links += [value for name, value in attributes if name in ("href", "src")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        else:
            self.text += data

    @property
    def plots(self):
        return json.loads(next(text for attributes, text in self.scripts if attributes.get("id") == "plots"))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweeps") / "a <b>sweep & co"
    fake_sweeps.write_sweep(folder, seeds=5, masks=("gradient", "random"))
    fake_sweeps.write_run(folder / "50", config(model=config()["model"] | {"name_or_path": HOSTILE}))
    fake_sweeps.write_failure(folder / "51", error=HOSTILE)
    (folder / "52" / ".hydra").mkdir(parents=True)
    return folder, write_summary(folder)


@pytest.fixture(scope="module")
def parsed(sweep):
    return Parsed((sweep[0] / "sweep.html").read_text())


def test_every_file_is_written_and_named(sweep):
    folder, written = sweep
    assert {path.relative_to(folder).as_posix() for path in written} == FILES
    assert all(path.stat().st_size > 0 for path in written)
    assert not [path for path in folder.rglob(".tmp*")]
    assert (folder / "sweep.html").stat().st_size < 8e6


def test_the_table_has_a_row_a_job(sweep):
    rows = pyarrow.parquet.read_table(sweep[0] / "sweep.parquet").to_pylist()
    assert len(rows) == 28 and [row["state"] for row in rows[-3:]] == ["finished", "failed", "unfinished"]
    assert rows[-2]["error"] == HOSTILE


def test_again_the_same_files(sweep):
    folder, written = sweep
    before = {path: path.read_bytes() for path in written}
    write_summary(folder)
    assert {path: path.read_bytes() for path in written} == before


def test_the_page_needs_nothing_from_outside(sweep, parsed):
    assert all(link.startswith(("#", "data:", "./")) for link in parsed.links)
    for link in parsed.links:
        if link.startswith("./"):
            assert (sweep[0] / link).is_file()
    assert sum(link.endswith("report.html") for link in parsed.links) == 26


def test_only_the_scripts_that_belong_there_may_run(sweep, parsed):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', (sweep[0] / "sweep.html").read_text()).group(1)
    policy = policy.replace("&#39;", "'")
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy.partition("script-src")[2]
    running = [text for attributes, text in parsed.scripts if attributes.get("type") != "application/json"]
    assert len(running) == 2
    for script in running:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy


def test_hostile_text_is_shown_as_it_is(parsed):
    assert HOSTILE in parsed.text and "a <b>sweep & co" in parsed.text and fake_sweeps.NOTE in parsed.text


def test_the_page_draws_what_the_files_show(sweep, parsed):
    charts = sweep_charts(content_of(read_sweep(sweep[0])))
    assert list(parsed.plots) == [chart.name for chart in charts]
    for chart in charts:
        assert parsed.plots[chart.name] == json.loads(json.dumps(page_figure(chart)))
        assert chart.caption in parsed.text


def test_a_page_of_many_runs_is_light(sweep):
    assert (sweep[0] / "sweep.html").stat().st_size < 2e6


def test_page_and_text_say_the_same_sentences(sweep, parsed):
    text = (sweep[0] / "sweep.md").read_text()
    sentences = re.findall(r"^- (At .* (?:lower|higher|same) with .*)$", text, re.MULTILINE)
    assert len(sentences) > 15 and all(re.search(r"95 % interval|no interval", one) for one in sentences)
    shown = " ".join(parsed.text.split())
    assert all(one in shown for one in sentences)
    assert "unlearn versus edit" in text and "memorized text versus the model's own continuations" in text
    assert f"> {fake_sweeps.NOTE.replace('<', '&lt;')}" in text and "51" in text.partition("## Failed")[2]


def test_text_tables_hold_together(sweep):
    text = (sweep[0] / "sweep.md").read_text()
    for table in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_a_sweep_in_which_nothing_has_finished(tmp_path):
    fake_sweeps.write_failure(tmp_path / "0")
    (tmp_path / "1" / ".hydra").mkdir(parents=True)
    assert {path.name for path in write_summary(tmp_path)} == {"sweep.parquet", "sweep.md", "sweep.html"}
    shown = Parsed((tmp_path / "sweep.html").read_text()).text
    assert "0 of 2 runs finished" in shown and "1 failed and 1 unfinished" in shown and "No run has finished yet" in shown


def test_figures_of_an_earlier_summary_go_with_their_runs(tmp_path):
    fake_sweeps.write_run(tmp_path / "0", config())
    assert tmp_path / "figures" / "trajectories.png" in write_summary(tmp_path)
    (tmp_path / "0" / "result.json").unlink()
    write_summary(tmp_path)
    assert not list((tmp_path / "figures").iterdir())


def test_the_command_says_what_it_wrote(tmp_path, capsys):
    fake_sweeps.write_run(tmp_path / "0", config())
    assert main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"wrote {tmp_path / 'sweep.html'}" in lines and len(lines) == 7


def test_a_folder_that_is_no_sweep_is_one_line_and_exit_code_2(tmp_path):
    for folder in (tmp_path / "none", tmp_path):
        done = subprocess.run([sys.executable, "-m", "memunlearn.reporting", str(folder)], capture_output=True, text=True)
        assert done.returncode == 2 and done.stdout == ""
        assert re.fullmatch(r"error: .*name a sweep's folder\n", done.stderr)
    assert list(tmp_path.iterdir()) == []
