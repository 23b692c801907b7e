"""attacks.json as it is read, and what is said of one that cannot be."""

import fake_attacks
import pytest

from memunlearn.errors import UserError
from memunlearn.results.attacks.content import read_attacks


def test_what_was_written_is_read(tmp_path):
    read = read_attacks(fake_attacks.write_attacks(tmp_path))
    written = fake_attacks.content()
    assert read.subjects == ("base", "unlearned", "oracle") and list(read.attacks) == list(written["attacks"])
    quantization, entry = read.attacks["quantization"], written["attacks"]["quantization"]
    assert [one.settings for one in quantization.of("oracle")] == [{"kind": "int8"}, {"kind": "int4"}]
    assert quantization.worst_of("unlearned").em == entry["attempts"][entry["worst"]["unlearned"]]["em"]
    assert quantization.attempts[0].em_ci == (6.0, 10.0)
    nothing = read.attacks["few_shot"].of("base")[1]
    assert (nothing.n, nothing.em, nothing.em_ci, nothing.counts) == (0, None, None, False)
    assert read.attacks["partial"].worst_of("base") is None and read.attacks["partial"].of("base") == []


def test_whole_numbers_stay_whole_and_words_words(tmp_path):
    settings = read_attacks(fake_attacks.write_attacks(tmp_path)).attacks["sampling"].attempts[0].settings
    assert {key: type(value) for key, value in settings.items()} == {"n": int, "temperature": float, "top_k": int}


def test_a_folder_without_attacks_is_one_line(tmp_path):
    with pytest.raises(UserError, match="attacks.json cannot be read .*run the attacks again"):
        read_attacks(tmp_path)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"attacks": []}, "damaged at attacks"),
        ({"seed": "none"}, "damaged at seed"),
        ({"attacks": {"a": fake_attacks.entry([{"subject": "base", "counts": False}])}}, r"damaged at attacks\.a\.attempts"),
        ({"attacks": {"a": fake_attacks.entry([], worst={"base": 0})}}, r"damaged at attacks\.a\.worst"),
        ({"attacks": {"a": fake_attacks.entry([], worst={"base": -1})}}, r"damaged at attacks\.a\.worst"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, more, said):
    with pytest.raises(UserError, match=said) as refused:
        read_attacks(fake_attacks.write_attacks(tmp_path, **more))
    assert "\n" not in str(refused.value)
