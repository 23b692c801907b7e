"""certificate.html: every number from the files, no text unless asked for, nothing that breaks out, readable on A4."""

import json
import re
from html.parser import HTMLParser

import fake_certificates as fake
import pytest
from browser import DESKTOP, PHONE

from memunlearn.reporting.__main__ import main
from memunlearn.reporting.certificate_page import CERTIFICATE, write_certificate

NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?![\w])")


class Visible(HTMLParser):
    """The text that a reader sees; tags by name."""

    def __init__(self):
        super().__init__()
        self.text, self.tags, self.hidden = [], [], 0

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.hidden += tag in ("style", "script")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("style", "script")

    def handle_data(self, data):
        if not self.hidden:
            self.text.append(data)


def visible(html):
    parser = Visible()
    parser.feed(html)
    return " ".join(" ".join(parser.text).split()), parser.tags


def write(folder, *files, **changed):
    """The page that is made of these files."""
    (path,) = write_certificate(fake.write(folder, *files, **changed))
    assert path == folder / CERTIFICATE
    return path.read_text("utf-8")


def numbers_in(data):
    """Every number of the files, as the page may write it."""
    if isinstance(data, dict):
        found = set().union(*map(numbers_in, data.values()))
        if data.get("memorized") is not None:
            found.add(str(round(data["memorized"] * data["n"])))
        return found
    if isinstance(data, list):
        return set().union(*map(numbers_in, data))
    if isinstance(data, str):
        return set(NUMBER.findall(data))
    if isinstance(data, int | float) and not isinstance(data, bool):
        return {str(data), f"{data:g}", *(f"{data:.{digits}f}" for digits in (1, 2, 3))}
    return set()


def test_every_number_is_from_the_files(tmp_path):
    tasks = {"tasks": [{"task": "topics", "metric": "acc", "n": 83, "base": {"value": 0.2083}, "unlearned": {"value": 0.1667}}]}
    text, _ = visible(write(tmp_path, fake.evaluation(texts=True), fake.attacks(), lm_eval=tasks))
    known = set().union(
        *(numbers_in(json.loads((tmp_path / f"{name}.json").read_text())) for name in ("evaluation", "attacks"))
    )
    counted = {
        *map(str, range(1, 8)),  # rows, numbered
        "5",  # rows that were recited whole before
        "6",  # clusters
        "7.4",  # mean EM now
        "37.3",  # mean EM before
        "4",  # attempts that count
        "3",  # kinds of them
    }
    others = set(NUMBER.findall(text)) - known - counted
    assert not others


@pytest.mark.parametrize(
    "change, before, after",
    [
        (lambda e, a: e["certificate"]["rows"][3].update(em_now=29), "29", True),
        (lambda e, a: e["sets"]["bystander"].update(memorized=14 / 23), "recites 14 now", True),
        (lambda e, a: a["attacks"]["own <attack>"]["attempts"][0].update(em=27.31), "27.3 of 41", True),
        (lambda e, a: a["attacks"]["own <attack>"]["attempts"][0].update(memorized=6 / 7), "6 of 7", True),
        (lambda e, a: e["certificate"]["hashes"].update(patch="f00d" * 16), "f00d" * 16, True),
    ],
)
def test_a_number_that_changes_in_a_file_changes_on_the_page(change, before, after, tmp_path):
    evaluation, attacks = fake.evaluation(), fake.attacks()
    assert before not in visible(write(tmp_path, evaluation, attacks))[0]
    change(evaluation, attacks)
    assert (before in visible(write(tmp_path, evaluation, attacks))[0]) is after


def test_no_text_unless_it_was_asked_for(tmp_path):
    text, _ = visible(write(tmp_path))
    assert "original of a" not in text and "The texts themselves are not on this page" in text
    text, _ = visible(write(tmp_path, fake.evaluation(texts=True)))
    for name in ("beginning", "original", "before", "now"):
        assert text.count(f"{name} of c ") == 1
    assert "are not on this page" not in text


def test_what_the_original_model_recited_is_shown_once(tmp_path):
    evaluation = fake.evaluation(texts=True)
    texts = evaluation["certificate"]["rows"][0]["texts"]
    texts["before"] = texts["original"]
    text, _ = visible(write(tmp_path, evaluation))
    assert text.count("original of a ") == 1 and "how it goes on, and what the original model said" in text


def test_texts_do_not_break_out(tmp_path):
    html = write(tmp_path, fake.evaluation(texts=True), fake.attacks())
    text, tags = visible(html)
    assert not {"script", "img"} & set(tags) and "\x00" not in html and "\x1b" not in html
    assert "<script>alert(1)</script>" in text and "letters <a>" in text and "own <attack>" in text and "EM <9.87>" in text


def test_hashes_versions_and_date_are_there(tmp_path):
    text, _ = visible(write(tmp_path))
    for said in (*fake.HASHES.values(), "2031-04-05 16:27 UTC", "with memunlearn 0.1.0", "torch 2.13.0", "b" * 64):
        assert said in text


def test_what_was_not_tested_is_listed(tmp_path):
    assert "Training the model further (relearning): not tried." in visible(write(tmp_path))[0]
    assert "Training the model further (relearning): not tried." not in visible(write(tmp_path, None, fake.attacks()))[0]


def test_an_oracle_and_membership_are_shown_where_they_are(tmp_path):
    assert "Beside a model that never saw" not in visible(write(tmp_path))[0]
    models = {"oracle": {"forget": fake.entry(7, 0.86, 0.0)}}
    scores = {"min_k": {"base": {"auroc": 0.987}, "unlearned": {"auroc": 0.613}, "oracle": {"auroc": 0.555}}}
    shown = {"oracle": {"models": models}, "membership": {"figure": "distribution shift", "scores": scores}}
    text, _ = visible(write(tmp_path, **shown))
    assert "Beside a model that never saw" in text and "0 of 7 0.9" in text
    assert "min_k 0.99 0.61 0.56" in text and "to be read as: distribution shift" in text


def test_it_is_written_again_from_its_folder(tmp_path, capsys):
    first = write(tmp_path, None, fake.attacks())
    (tmp_path / CERTIFICATE).unlink()
    assert main([str(tmp_path)]) == 0 and str(tmp_path / CERTIFICATE) in capsys.readouterr().out
    assert (tmp_path / CERTIFICATE).read_text("utf-8") == first


def test_a_damaged_folder_is_one_line(tmp_path, capsys):
    fake.write(tmp_path)
    (tmp_path / "attacks.json").write_text("{")
    assert main([str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and not (tmp_path / CERTIFICATE).exists()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_is_read_without_scripts_network_or_scrolling_sideways(size, tmp_path, open_page):
    write(tmp_path, fake.evaluation(texts=True), fake.attacks())
    opened = open_page(tmp_path / CERTIFICATE, size, scripts=False)
    assert not opened.fetched and not opened.complaints
    with_scripts = open_page(tmp_path / CERTIFICATE, size)
    assert not with_scripts.scrolls_sideways and not with_scripts.complaints


def test_it_prints_on_a4(tmp_path, open_page):
    write(tmp_path, fake.evaluation(texts=True), fake.attacks())
    opened = open_page(tmp_path / CERTIFICATE)
    printed = opened.page.pdf(prefer_css_page_size=True)
    boxes = re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)", printed)
    assert boxes and all(abs(float(w) - 595.3) < 1 and abs(float(h) - 841.9) < 1 for w, h in boxes)
