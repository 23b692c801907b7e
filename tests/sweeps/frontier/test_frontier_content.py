"""The whole of what is said: tables, figures, text; whole, partial and broken frontiers."""

import json

import fake_frontiers
import pytest

from memunlearn.sweeps.frontier.charts import frontier_charts
from memunlearn.sweeps.frontier.content import content_of
from memunlearn.sweeps.frontier.plan import Plan, read_plan, write_plan
from memunlearn.sweeps.frontier.text import text_of


@pytest.fixture
def sweep(tmp_path):
    return fake_frontiers.write_frontier(tmp_path)


def test_a_whole_frontier(sweep):
    content = content_of(sweep)
    assert content.progress == "31 of 31 jobs finished."
    assert content.budget == "Every method had the same tuning budget: 2 strengths x 2 seeds, 3 methods."
    assert content.notes == (fake_frontiers.NOTE,) and content.lost == content.remarks == ()
    assert [table.title.partition(":")[0] for table in content.tables] == [
        "Confirmation",
        "Confirmation",
        "The best methods on fewer weights",
        "Every method at every strength",
    ]
    assert len(content.sentences) == 2 * 2 + 2 and "gentle" in content.headline and "default" in content.headline


def test_tables_hold_every_candidate_losers_too(sweep):
    matched, reported, masks, tuning = content_of(sweep).tables
    assert len(tuning.rows) == 6 and len(masks.rows) == 2 and len(matched.rows) == len(reported.rows) == 3
    names = [name for name, _ in tuning.rows]
    assert names[0].startswith("gentle") and names[-1].startswith("useless")
    assert len({names[place].split(" ")[0] for place in tuning.marked}) == len(tuning.marked) == 3 and not matched.marked
    for table in (matched, reported, masks, tuning):
        assert all(len(cells) == len(table.header) for _, cells in table.rows)
    cells = dict(matched.rows)["gentle (forget_weight=1, all)"]
    assert cells[0].text == "5" and " to " in cells[1].small
    heads = [cell.text for cell in reported.header]
    assert heads[1] == "forget EM" and dict(reported.rows)["default"][heads.index("near_other EM")].text == "-"


def test_near_rows_that_hold_forgotten_text_are_told_from_those_that_do_not(sweep):
    for job in read_plan(sweep).jobs:
        path = sweep / job.folder / "result.json"
        result = json.loads(path.read_text())
        parts = {"near": {"n": 2, "em": 10.0}, "near_forgotten": {"n": 1, "em": 1.0}, "near_other": {"n": 1, "em": 19.0}}
        path.write_text(json.dumps(result | {"after": result["after"] | parts}))
    reported = content_of(sweep).tables[1]
    heads = [cell.text for cell in reported.header]
    cells = dict(reported.rows)["default"]
    assert [cells[heads.index(f"{name} EM")].text for name in ("near_forgotten", "near_other")] == ["1.0", "19.0"]


def test_what_was_not_reached_says_with_how_many_runs(sweep):
    tuning = content_of(sweep).tables[-1]
    cells = dict(tuning.rows)["useless (forget_weight=0.5, all)"]
    assert [(cell.text, cell.small) for cell in cells[2:5]] == [("-", "0 of 2 runs")] * 3


def test_a_partial_frontier_says_how_far_it_is(tmp_path):
    sweep = fake_frontiers.write_frontier(tmp_path, later=("masks", "confirmation"))
    (sweep / "3" / "result.json").unlink()
    content = content_of(sweep)
    assert content.progress == "11 of 31 jobs finished; still to come: masks and confirmation."
    assert len(content.tables) == 1 and content.shown == () and content.sentences
    assert dict(content.tables[0].rows)["quick (forget_weight=1, all)"][0].small == "1 unfinished"
    assert [chart.name for chart in frontier_charts(content)] == ["frontier", "hypervolume"]
    assert "still to come" in text_of("half", content)


def test_before_the_first_job_has_ended(tmp_path):
    plan = read_plan(fake_frontiers.write_frontier(tmp_path / "whole"))
    write_plan(tmp_path, Plan(plan.jobs[:4], {"masks": 3}, plan.targets, plan.disruptions))
    content = content_of(tmp_path)
    assert content.progress == "0 of 7 jobs finished; still to come: masks." and content.sentences == ()
    assert frontier_charts(content) == [] and content.headline == "No job has ended yet."
    assert "| 0 (2 unfinished) |" in text_of("none", content)


def test_failed_jobs_are_listed_and_not_dropped(sweep):
    fake_frontiers.write_failure(sweep / "30", "<b>no room</b> | none")
    content = content_of(sweep)
    assert content.progress == "30 of 31 jobs finished, 1 failed."
    assert [(reading.job.folder, why) for reading, why in content.lost] == [("30", "<b>no room</b> | none")]
    text = text_of("one failed", content)
    assert "## Failed" in text and "&lt;b>no room&lt;/b> \\| none" in text


def test_figures_show_what_was_confirmed_first(sweep):
    content = content_of(sweep)
    first, methods, volumes = frontier_charts(content)
    assert (first.name, methods.name, volumes.name) == ("frontier", "methods", "hypervolume")
    kl, bystander = first.panels
    assert len(kl.series) == len(bystander.series) == 3 * 5 and len({series.label for series in kl.series}) == 3
    assert len({(series.colour, series.marker) for series in kl.series}) == 3
    reading = content.shown[0].readings[0]
    assert kl.series[0].x == [point.retain_kl for point in reading.points]
    assert bystander.series[0].x == [point.bystander_em for point in reading.points]
    assert kl.series[0].y == bystander.series[0].y == [point.forget_em for point in reading.points]
    rows = volumes.panels[0].rows
    assert [row.mean for row in rows] == sorted((row.mean for row in rows), reverse=True) and rows[0].low < rows[0].mean
    assert {series.label.split(" ")[0] for series in methods.panels[0].series} == set(fake_frontiers.METHODS)


def test_a_check_far_beyond_the_worst_kl_is_drawn_at_it(sweep):
    fake_frontiers.write_run(sweep / "16", [(1, 10.0, 10.0, 9.0, 10.0)], seed=10)
    series = [
        one
        for chart in frontier_charts(content_of(sweep))
        for panel in chart.panels[:1]
        for one in getattr(panel, "series", ())
    ]
    assert max(x for one in series for x in one.x) == 0.5


def test_the_text_has_every_table_and_is_the_same_each_time(sweep):
    text = text_of("a|b", content_of(sweep))
    assert text == text_of("a|b", content_of(sweep)) and text.startswith("# memunlearn: frontier a\\|b\n")
    assert text.count("| candidate") == 4 and "**gentle (forget_weight=1, all)**" in text
    widths = [line.count("|") - line.count("\\|") for line in text.splitlines() if line.startswith("|")]
    assert len(set(widths)) == 2  # matched tables, and the one of what is reported


def test_what_survives_attacks_is_a_table_of_its_own(sweep):
    """By hand: of the default's five seeds one has no attempt that counts; nobody tried NF4; no other round was attacked."""
    assert not [table for table in content_of(sweep).tables if "survives" in table.title]
    for job in read_plan(sweep).jobs:
        if job.round != "confirmation":
            continue
        path = sweep / job.folder / "result.json"
        result = json.loads(path.read_text())
        half = None if (job.candidate.method, job.seed) == ("default", 12) else {"em": float(job.seed - 10), "memorized": 0.0}
        attacks = {"relearning": half, "relearning/half": half, "quantization/int4": {"em": 3.0, "memorized": 0.1}}
        path.write_text(json.dumps(result | {"attacks": attacks}))
    tables = content_of(sweep).tables
    (survived,) = [table for table in tables if "survives" in table.title]
    assert tables.index(survived) == 2 and survived.title.startswith("Confirmation: forgetting that survives")
    assert [cell.text for cell in survived.header] == ["seeds", "forget EM", "forget EM", "forget EM"]
    assert [cell.small for cell in survived.header[2:]] == ["after relearning half of the clusters", "rounded to 4 bits"]
    rows = dict(survived.rows)
    assert (rows["default"][2].text, rows["default"][2].small) == ("2.0", "counts in 4 of 5 runs")
    gentle = rows["gentle (forget_weight=1, all)"]
    assert gentle[2].text == "2.0" and " to " in gentle[2].small and gentle[3].text == "3.0"
    assert len(rows) == 3 and "rounded to 4 bits" in text_of("frontier", content_of(sweep))
