"""What paragraphs.retain names beside files, and when samples are looked through for suspected rows."""

import pytest

from memunlearn.errors import UserError
from memunlearn.paragraphs.retain_text import RetainText, files_of, kinds_of, retain_text, words_of
from memunlearn.paragraphs.sources import FileSource

PAIR = {"prefix": "a.npy", "continuation": "b.npy"}


@pytest.mark.parametrize(
    ("retain", "words", "files"),
    [
        (None, (), None),
        ("model", ("model",), None),
        ("./model", (), "./model"),
        ("demo.pt", (), "demo.pt"),
        (PAIR, (), PAIR),
        (["demo", "model", "demo"], ("model", "demo"), None),
        (["a.pt", "model"], ("model",), "a.pt"),
        (["a.pt", "demo", "b.pt"], ("demo",), ["a.pt", "b.pt"]),
        ([PAIR], (), PAIR),
        ([], (), None),
    ],
)
def test_words_and_files_are_told_apart(retain, words, files):
    assert words_of(retain) == words and files_of(retain) == files


def test_kinds_of_text_in_a_sentence():
    assert kinds_of("model") == "text of the model's own making" and kinds_of("demo") == "English technical documentation"
    assert kinds_of(["a.pt", "demo", "model"]) == (
        "the text of the files that were named and text of the model's own making and English technical documentation"
    )


def made(retain, rows=256, suspected=None, samples=1024, named=None):
    return retain_text(retain, rows, suspected, samples, named)


def test_what_is_to_be_made():
    assert made("a.pt") is None and made(None) is None
    assert made("model") == RetainText(words=("model",), rows=256, samples=256, must=False)
    assert made("model", suspected=True).samples == 1024 and made("model", suspected=True).must
    assert made("model", suspected=False).samples == made("model", rows=99).samples == made("demo").samples == 0
    assert made("model", named="bystanders are there").samples == 0
    assert made("a.pt", suspected=True) == RetainText(words=(), rows=256, samples=1024, must=True)
    assert made(["a.pt", "demo"], rows=7) == RetainText(words=("demo",), rows=7, samples=0, must=False)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rows": 2}, "retain_rows=2 is too few"),
        ({"samples": 99}, "suspected_samples=99: the lowest 1 % of these is less than a row"),
        ({"suspected": "yes"}, "suspected=yes is not known"),
        ({"suspected": True, "named": "paragraphs.path is given"}, "paragraphs.path is given: leave one out"),
    ],
)
def test_settings_that_make_no_sense(settings, says):
    with pytest.raises(UserError, match=says):
        made("model", **settings)


def source(**settings):
    return FileSource(prefix_length=3, continuation_length=2, **settings)


def test_suspected_rows_go_without_named_memorized_ones():
    for name in ("bystander", "protected"):
        with pytest.raises(UserError, match=f"paragraphs.{name} is given"):
            source(forget="a.pt", suspected=True, **{name: "b.pt"}).check()
    with pytest.raises(UserError, match="no paragraphs.forget is"):
        source(retain="b.pt", suspected=True).check()
    with pytest.raises(UserError, match="does not go with paragraphs.retain"):
        source(path="a.pt", retain="model").check()
    with pytest.raises(UserError, match="needs files"):
        source(retain="model").check()
