"""The parts of a takedown by themselves: settings written for Hydra, the checkpoint that is handed out, the closing lines."""

import os

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from memunlearn.commands.takedown.ending import closing_lines
from memunlearn.commands.takedown.shipped import link_checkpoint
from memunlearn.commands.takedown.stages import written
from memunlearn.errors import UserError


@pytest.mark.parametrize(
    "value",
    [
        "plain/path-1.txt",
        "with space, comma (and) [brackets]",
        'ümläut=1/Zoë\'s "text".txt',
        "17",
        "true",
        "null",
        "",
        ["a b.txt", "c,d", "e"],
        {"prefix": "A 1.npy", "continuation": "B.npy"},
        None,
        True,
        8,
        0.5,
    ],
)
def test_hydra_reads_the_value_that_was_written(value):
    assert OverridesParser.create().parse_override(written("texts", value)).value() == value


def test_an_interpolation_is_text():
    value = OverridesParser.create().parse_override(written("texts", "costs ${seed}")).value()
    assert value == "costs \\${seed}"


def trained(folder):
    (folder / "2-unlearn" / "model").mkdir(parents=True)
    (folder / "2-unlearn" / "model" / "config.json").write_text("{}")
    return folder / "2-unlearn" / "model"


def test_the_checkpoint_is_there_twice_and_on_disk_once(tmp_path):
    link_checkpoint(trained(tmp_path), tmp_path / "model")
    assert os.path.samefile(tmp_path / "model" / "config.json", tmp_path / "2-unlearn" / "model" / "config.json")


def test_without_hard_links_it_is_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links on this disk")

    made = trained(tmp_path)
    monkeypatch.setattr(os, "link", refuse)
    link_checkpoint(made, tmp_path / "model")
    assert (tmp_path / "model" / "config.json").read_text() == "{}" == (made / "config.json").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2-unlearn", "model"]


def test_a_checkpoint_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="2-unlearn"):
        link_checkpoint(tmp_path / "2-unlearn" / "model", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def result(left):
    return {"texts": {"recited": ["a.txt", "b.txt"], "not_recited": ["c.txt"], "too_short": [], "left": left}}


def test_what_is_left_is_a_warning_that_names_the_texts(tmp_path):
    said = "\n".join(closing_lines(tmp_path, result(["b.txt"])))
    assert "2 of 3 texts recited by the original model, at least in part: a.txt, b.txt" in said
    assert "warning: 1 of 3 texts is still recited in part after unlearning: b.txt" in said
    assert "3-find-after/find.html" in said and "recited after unlearning: nothing" not in said
    assert "too short" not in said


def test_nothing_left_and_nothing_found(tmp_path):
    assert "recited after unlearning: nothing, of any of these texts" in "\n".join(closing_lines(tmp_path, result([])))
    nothing = {"texts": {"recited": [], "not_recited": ["c.txt"], "too_short": ["d.txt"], "left": None}}
    said = "\n".join(closing_lines(tmp_path, nothing))
    assert "nothing was found to remove: no model was made" in said and "model/" not in said
    assert "too short to be asked for: d.txt" in said
