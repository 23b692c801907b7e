"""Attempts by models: every number in its cell."""

import random

import fake_attacks
import pytest

from memunlearn.results.attacks.content import CONTENT, read_attacks
from memunlearn.results.attacks.tables import SHOWN, Cell, attack_table, setting_text, title, worst_table


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return read_attacks(fake_attacks.write_attacks(tmp_path_factory.mktemp("attacks")))


def table(content, name):
    return attack_table(content.attacks[name], content.subjects)


def test_settings_in_words():
    assert setting_text({"on": "half", "lr": 2e-5, "steps": 100}) == "on half, lr 2e-05, steps 100"
    assert setting_text({"share": 0.30000000000000004, "top_k": "all"}) == "share 0.3, top k all"
    assert setting_text({}) == "as it is" and title("few_shot") == "Few shot"


def test_a_row_is_an_attempt_and_a_cell_a_model(content):
    made = table(content, "quantization")
    assert made.subjects == ["base", "unlearned", "oracle"] and [row.label for row in made.rows] == ["kind int8", "kind int4"]
    row = made.rows[0]
    assert [metric.key for metric in SHOWN] == ["em", "longest_run", "memorized", "nll"]
    em, run, memorized, nll = row.cells
    assert em[:2] == [Cell("8.0", "6.0 to 10.0", worst=True), Cell("1.0", "0.8 to 1.2", worst=True)]
    assert [cell.text for cell in run] == ["11.0", "4.0", "3.2"]
    assert [cell.text for cell in memorized] == ["20.0", "2.5", "0.6"]  # %
    assert nll[1] == Cell("3.900", "2.925 to 4.875", worst=True)
    assert row.rows == "12 rows in 11 clusters"


def test_the_worst_is_marked_and_what_does_not_count_is_faint(content):
    made = table(content, "relearning")
    marked = [(row.label, nth) for row in made.rows for nth, cell in enumerate(row.cells[0]) if cell.worst]
    assert marked == [("on half, lr 0.0002, steps 100", nth) for nth in range(3)]
    faint = {row.label for row in made.rows if row.cells[0][1].faint}
    assert faint == {f"on half, lr 2e-05, steps {steps}" for steps in fake_attacks.STEPS}
    ((note, attempts),) = made.notes
    assert note == "the half that was trained on did not come back itself" and len(attempts) == 8
    assert attempts[0] == "unlearned (on half, lr 2e-05, steps 5)"


def test_an_attack_on_one_model_has_its_columns_only(content):
    made = table(content, "partial")
    assert made.subjects == ["unlearned"] and all(len(cells) == 1 for row in made.rows for cells in row.cells)
    assert [row.cells[0][0].text for row in made.rows] == ["19.0", "10.5", "2.0"]
    assert [row.cells[0][0].faint for row in made.rows] == [True, True, False]


def test_what_measured_nothing_is_a_dash(content):
    one, two = table(content, "few_shot").rows
    assert [cell.text for cells in two.cells for cell in cells] == ["-"] * 12 and two.cells[0][0].small == ""
    assert (one.rows, two.rows) == ("12 rows in 11 clusters", "0 rows in 0 clusters")


def test_further_numbers_stand_by_name_and_model(content):
    made = table(content, "sampling")
    assert made.extra[:3] == [("whole", "base"), ("whole", "unlearned"), ("whole", "oracle")] and len(made.extra) == 9
    assert [cell.text for cell in made.rows[1].extra[6:]] == ["16.8", "2.83", "1.33"]
    assert [name for name, _ in table(content, "relearning").extra] == ["attacked_em"] * 3
    assert table(content, "relearning").rows[-1].extra[0].text == "-"  # unrelated text attacks no half


def test_notes_of_intervals_are_said(content):
    assert table(content, "own_attack").notes == [
        (fake_attacks.HOSTILE, ["unlearned (as it is)"]),
        ("no interval for em: few clusters", ["unlearned (as it is)"]),
    ]


def test_the_worst_of_each_attack(content):
    rows = {name: [cell.text for cell in em] for name, em, _ in worst_table(content)}
    assert rows["Relearning"] == ["20.0", "12.0", "10.5"] and rows["Partial"] == ["-", "2.0", "-"]
    assert rows["Few shot"] == ["16.0", "2.0", "0.5"] and len(rows) == 8


@pytest.mark.parametrize("seed", range(5))
def test_every_number_stands_where_its_model_and_settings_meet(seed):
    """Random attempts, some models without some of them, against a look-up in the plain dicts."""
    draw = random.Random(seed)
    tried = [(subject, share) for share in (0.1, 0.2, 0.4, 0.8) for subject in ("oracle", "base", "unlearned")]
    chosen = draw.sample(tried, 9)
    attempts = [
        fake_attacks.attempt(subject, {"share": share}, draw.uniform(0, 20), counts=draw.random() < 0.7)
        for subject, share in chosen
    ]
    plain = fake_attacks.content() | {"attacks": {"pruning": fake_attacks.entry(attempts)}}
    content = CONTENT.validate_python(plain)
    made = table(content, "pruning")
    assert [row.label for row in made.rows] == list(dict.fromkeys(f"share {share:g}" for _, share in chosen))
    for row in made.rows:
        for metric, cells in zip(SHOWN, row.cells, strict=True):
            for subject, cell in zip(made.subjects, cells, strict=True):
                found = [
                    one for one in attempts if one["subject"] == subject and f"share {one['settings']['share']:g}" == row.label
                ]
                if not found:
                    assert cell == Cell("-")
                    continue
                (one,) = found
                scale = 100 if metric.key == "memorized" else 1
                assert cell.text == f"{scale * one[metric.key]:.{metric.digits}f}"
                assert cell.faint == (not one["counts"])
                rivals = [other["em"] for other in attempts if other["subject"] == subject and other["counts"]]
                assert cell.worst == (one["counts"] and one["em"] == max(rivals))
