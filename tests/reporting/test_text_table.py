"""The table of texts that were named: what stands in it, and in which words."""

from memunlearn.reporting.text_table import SHOWN, text_table


def text(name, kind="recited", **changed):
    spans = [{"start": 54, "end": 154, "first_character": 200, "end_character": 611}] if kind == "recited" else []
    em = None if kind == "too short" else 50 if spans else 3
    return {"name": name, "kind": kind, "tokens": 180, "columns": {}, "spans": spans, "em": em, **changed}


def row(name, em_after, of="forget"):
    return {"set": of, "text": name, "em_after": em_after}


def test_recited_texts_come_first_with_what_is_left():
    texts = [
        text("never", "not recited"),
        text("letter", columns={"name": "letter", "source": "a book"}),
        text("note", "too short"),
        text("poem", spans=[{"start": 0, "end": 9, "first_character": None, "end_character": None}]),
    ]
    rows = [row("letter", 2), row("letter", 7), row("letter", 50, "bystander"), row(None, 1), row("poem", None)]
    table = text_table(texts, rows)
    assert [(line.name, line.found, line.spans, line.em_before, line.em_after) for line in table.lines] == [
        ("letter", "recited", "characters 201 to 611", "50", "7"),
        ("poem", "recited", "tokens 1 to 9", "50", ""),
        ("never", "not recited", "", "3", ""),
        ("note", "too short", "", "", ""),
    ]
    assert table.lines[0].columns == "source: a book" and table.more == 0
    assert table.sentence == (
        "2 of 4 texts are recited, at least in part. 1 is not recited: neither trained on nor in any mean. 1 is too short to "
        "be asked for."
    )


def test_long_lists_are_cut_and_counted():
    table = text_table([text(str(number)) for number in range(SHOWN + 7)], [])
    assert len(table.lines) == SHOWN and table.more == 7
    assert text_table([text("one")], []).sentence == "1 of 1 text is recited, at least in part."
    assert text_table([], []) is None
