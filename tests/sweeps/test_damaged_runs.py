"""Whatever a run's files hold, the sweep's page is written, and says what is left out."""

import copy
import json
import shutil

import fake_sweeps
import pyarrow
import pyarrow.parquet
import pytest

from memunlearn.errors import UserError
from memunlearn.files.reading import parse_json, read_json
from memunlearn.reporting.sweep_summary import write_summary
from memunlearn.sweeps.content import content_of
from memunlearn.sweeps.job_rows import job_rows
from memunlearn.sweeps.markdown import markdown
from memunlearn.sweeps.runs import read_sweep

ODD = ("text", [], [1], {}, {"a": 1}, True, -1, 10**17, 1e300, None)
TOO_DEEP = '{"before": ' + '{"a": ' * 100_000 + "1" + "}" * 100_001


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sweep of two settings and two seeds."""
    return fake_sweeps.write_sweep(
        tmp_path_factory.mktemp("whole") / "sweep", seeds=2, objectives=("unlearn",), masks=("gradient", "random"), own=False
    )


@pytest.fixture
def sweep(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "sweep")


def told(sweep):
    """The page's text, from everything that is read; the drawing apart."""
    runs = read_sweep(sweep)
    rows = job_rows(runs)
    pyarrow.table({key: [row[key] for row in rows] for key in rows[0]})
    return runs, markdown("sweep", content_of(runs))


def places(data, prefix=()):
    """Every place in nested dicts and lists."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        yield (*prefix, key)
        if isinstance(value, dict | list):
            yield from places(value, (*prefix, key))


def changed(data, place, value):
    data = copy.deepcopy(data)
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return data


def test_any_value_in_any_place_of_a_result_leaves_the_page(sweep):
    path = sweep / "0" / "result.json"
    result = json.loads(path.read_text())
    tried = [place for number, place in enumerate(places(result)) if number % 4 == 0 or len(place) < 3]
    for number, place in enumerate(tried):
        path.write_text(json.dumps(changed(result, place, ODD[number % len(ODD)])))
        runs, text = told(sweep)
        assert [run.state for run in runs[1:]] == ["finished"] * 3 and "seed" in text, place


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("result.json", b'{"before": ', "result.json cannot be read"),
        ("result.json", b"\xff\xfe", "UTF-8"),
        ("result.json", b"[]", "not a JSON object"),
        ("result.json", b'{"steps": 1e999999}', "too large"),
        ("result.json", b'{"steps": ' + b"9" * 10_000 + b"}", "too large"),
        ("result.json", TOO_DEEP.encode(), "nested deeper"),
        ("result.json", b'{"before": {}, "after": {"forget": []}, "config": []}', "result.json is damaged"),
        ("metrics.csv", b"step,check/forget_em\n1e999,3\n", "metrics.csv"),
        ("metrics.csv", b"\xff\xfe", "metrics.csv"),
        ("metrics.csv", b"step,check/forget_em\n1,1e300\n", "metrics.csv"),
        ("paragraphs.parquet", b"PAR1", "paragraphs.parquet"),
        ("trajectory.parquet", b"PAR1", "trajectory.parquet"),
    ],
)
def test_a_damaged_file_is_named_on_the_page_and_the_other_runs_are_shown(sweep, name, content, said):
    (sweep / "0" / name).write_bytes(content)
    runs, text = told(sweep)
    assert said in "; ".join(runs[0].problems) and name in text
    assert [run.state for run in runs[1:]] == ["finished"] * 3


def test_a_page_is_written_for_a_sweep_with_every_kind_of_damage(sweep):
    (sweep / "0" / "result.json").write_text(TOO_DEEP)
    (sweep / "1" / "result.json").unlink()
    (sweep / "1" / "error.json").write_text('{"error": ["no text"], "overrides": 3, "config": {"seed": [1]}}')
    assert (sweep / "sweep.html") in write_summary(sweep)
    page = (sweep / "sweep.html").read_text()
    assert "0: result.json" in page and "2 of 4 runs finished" in page


@pytest.mark.parametrize("column", ["set", "index", "cluster", "em_after", "kl"])
@pytest.mark.parametrize("odd", [["x"], [[1, 2]], [None], [1e300]], ids=str)
def test_rows_of_another_type_are_not_used(sweep, column, odd):
    path = sweep / "0" / "paragraphs.parquet"
    table = pyarrow.parquet.read_table(path)
    place = table.column_names.index(column)
    pyarrow.parquet.write_table(table.set_column(place, column, pyarrow.array(odd * len(table))), path)
    runs, _ = told(sweep)
    assert runs[0].state == "finished"
    unusual = odd != [None] or column in ("set", "index", "cluster")
    assert bool(runs[0].problems) == (unusual and not (column == "set" and odd == ["x"]))


def test_texts_and_values_of_tokens_are_no_damage(sweep):
    """As every run leaves them beside its numbers."""
    path = sweep / "0" / "paragraphs.parquet"
    table = pyarrow.parquet.read_table(path)
    for name, value in (("prefix", "words"), ("token_texts", ["a", "b"]), ("token_nll_after", [0.5, 1e300])):
        if name not in table.column_names:
            table = table.append_column(name, pyarrow.array([value] * len(table)))
    pyarrow.parquet.write_table(table, path)
    runs, _ = told(sweep)
    assert not runs[0].problems and len(runs[0].paragraphs) == len(table)


def test_passwords_in_what_is_read_are_not_shown(sweep):
    path = sweep / "0" / "result.json"
    result = json.loads(path.read_text())
    result["config"]["model"]["name_or_path"] = "https://me:s3cret@host/model"
    path.write_text(json.dumps(result))
    fake_sweeps.write_failure(sweep / "9", "cannot open postgresql://me:s3cret@host/db")
    runs, text = told(sweep)
    assert "s3cret" not in text and "s3cret" not in str(job_rows(runs)) and "postgresql://me:***@host/db" in text


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e400", "-1e400", "1" * 30, "[" * 60 + "]" * 60, "[" * 10**6, "", "{"])
def test_json_of_no_run_is_refused(text, tmp_path):
    with pytest.raises(ValueError):
        parse_json(text)
    (tmp_path / "some.json").write_text(text)
    with pytest.raises(UserError, match="some.json.*: remove it"):
        read_json(tmp_path / "some.json", "remove it")


def test_json_of_a_run_is_read():
    text = '{"a": [1, -2.5, 1e-320, 9007199254740993, null, true], "b": ' + "[" * 40 + "]" * 40 + "}"
    assert parse_json(text) == json.loads(text)
