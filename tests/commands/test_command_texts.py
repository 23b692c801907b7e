"""evaluate.py on a person's own files, of several kinds at once."""

import gzip
import json

import command_runs
import pyarrow.parquet
import pytest

SENTENCE = "the method is defined in a class and returns a value that is used where the name of the module is given "


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "Meine Texte, alle"
    (folder / "Briefe").mkdir(parents=True)
    (folder / "Briefe" / "an Zoë.txt").write_text("\ufeff" + SENTENCE * 3 + "🎈\r\n", newline="")
    (folder / "kurz.md").write_text("zu kurz")
    (folder / "bild.png").write_bytes(b"\x89PNG")
    rows = [{"title": "Kapitel 1", "text": SENTENCE * 3}, {"text": SENTENCE * 2}, {"title": "knapp", "text": "a"}]
    (tmp_path / "buch.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    (tmp_path / "excel.csv").write_text(f"id;text\n17;{SENTENCE * 3}\n", encoding="utf-8-sig")
    return folder


def test_a_list_of_a_folder_and_tables_is_scored_under_the_texts_names(texts, tmp_path, tiny_cache):
    given = f"paragraphs.path=['{texts}',{tmp_path}/buch.jsonl.gz,{tmp_path}/excel.csv]"
    done = command_runs.evaluate(given, directory=tmp_path / "run")
    assert done.code == 0, done.err
    origins = pyarrow.parquet.read_table(tmp_path / "run" / "paragraphs.parquet").column("origin").to_pylist()
    named = ["Briefe/an Zoë.txt", "Kapitel 1", "buch.jsonl.gz:1", "17"]
    assert list(dict.fromkeys(origin.partition("@")[0] for origin in origins)) == named
    assert "left out, as no paragraphs: bild.png" in done.err and "kurz.md, knapp" in done.err
    assert "python evaluate.py" not in done.out + done.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[{folder},none.txt]", "none.txt: no such file"),
        ("[]", "list of files is empty"),
        ("{folder}/bild.png", "cannot tell what it is"),
        ("{folder}/../latin.txt", "byte 2"),
        ("{folder}/../packed.csv.gz", "is not a gzip file"),
    ],
)
def test_what_cannot_be_read_is_refused_before_the_model_is_loaded(texts, tmp_path, given, said):
    (tmp_path / "latin.txt").write_bytes("Zoë".encode("latin-1") + SENTENCE.encode())
    (tmp_path / "packed.csv.gz").write_text("id,text\n")
    folder = texts.rename(tmp_path / "texts")
    path = given.format(folder=folder)
    groups = ["model=local", "model.name_or_path=/no/such/model", "paragraphs=files", f"paragraphs.path={path}"]
    line = command_runs.evaluate(*groups, directory=tmp_path / "run").the_error()
    assert said in line and "no/such/model" not in line
