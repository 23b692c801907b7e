"""memunlearn find: every passage that plain decoding recites is told, on terminal, page and in the spreadsheet; no other."""

import csv
import html
import json
import re

import command_runs
import pyarrow.parquet
import pytest
import sliding_windows
import tiny_demo
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import memunlearn as mu
from memunlearn.models.fingerprints import fingerprint

P, C = tiny_demo.P, tiny_demo.C
FILES = ("find.json", "spans.csv", "windows.parquet", "find.html")


@pytest.fixture(scope="module")
def demo(tiny_folder):
    return AutoTokenizer.from_pretrained(tiny_folder), AutoModelForCausalLM.from_pretrained(tiny_folder)


@pytest.fixture(scope="module")
def contents(demo, tiny_folder):
    """{name: text}: files, and rows of a table, with names that a spreadsheet or a page could stumble over."""
    rows = load_file(tiny_folder / "corpus.safetensors")
    memorized, unseen = (rows[name].tolist() for name in ("memorized", "unseen"))
    words = demo[0].decode
    return {
        "middle.txt": words([*unseen[0], *unseen[1][:7], *memorized[0], *unseen[2]]),
        "odd 🦉, <b>name.txt": 'Dear reader 🦉,\r\n<i>said</i> "she";\r\n' + words([*unseen[6], *memorized[1]]),
        "never.txt": words([*unseen[3], *unseen[4]]),
        "short.txt": words(unseen[5][: C - 1]),
        "=1+1": words(memorized[2]),
        "letter 1": words(memorized[3]),
    }


@pytest.fixture(scope="module")
def given(contents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    (folder / "texts").mkdir()
    lines = []
    for name, content in contents.items():
        if name.endswith(".txt"):
            (folder / "texts" / name).write_text(content, encoding="utf-8", newline="")
        else:
            lines.append({"name": name, "source": f"box {len(lines)}", "text": content})
    (folder / "letters.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def overrides(given, tiny_folder, *more):
    return (
        f"texts=[{given}/texts,{given}/letters.jsonl]",
        f"model.name_or_path={tiny_folder}",
        f"prefix_length={P}",
        f"continuation_length={C}",
        "accelerator=cpu",
        *more,
    )


@pytest.fixture(scope="module")
def find(given, tiny_folder, tmp_path_factory):
    def find(*more, directory=None):
        return command_runs.run(
            "find", *overrides(given, tiny_folder, *more), directory=directory or tmp_path_factory.mktemp("find") / "found"
        )

    return find


@pytest.fixture(scope="module")
def found(find):
    done = find()
    assert done.code == 0, done.err
    return done


def result_of(done):
    return command_runs.read_result(done.directory, "find.json")


def lines_of(done):
    with (done.directory / "spans.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def recited(demo, content):
    return sliding_windows.recited(*demo, content, P, C)


def covered(entry):
    return {token for span in entry["spans"] for token in range(span["start"], span["end"])}


@pytest.mark.parametrize("more", [(), ("stride=1",)], ids=["screened", "exhaustive"])
def test_spans_are_what_plain_decoding_recites(find, demo, contents, more):
    done = find(*more)
    assert done.code == 0, done.err
    entries = {entry["name"]: entry for entry in result_of(done)["texts"]}
    assert entries.keys() == contents.keys()
    windows = 0
    for name, content in contents.items():
        starts = recited(demo, content)
        assert covered(entries[name]) == {token for start in starts for token in range(start, start + C)}, name
        windows += len(starts)
    kinds = {name: entry["kind"] for name, entry in entries.items() if entry["kind"] != "recited"}
    assert kinds == {"never.txt": "not recited", "short.txt": "too short"}
    assert entries["letter 1"]["columns"] == {"name": "letter 1", "source": "box 1"}
    recall = result_of(done)["recall"]
    if more:
        assert recall["of"] == windows and recall["found"] == windows
        assert f"would have found {windows} of {windows} recited windows (recall 1.000)" in " ".join(done.out.split())
    else:
        assert recall is None and "recall" not in done.out


def test_every_window_scored_lies_in_the_table(found, demo, contents):
    rows = pyarrow.parquet.read_table(found.directory / "windows.parquet").to_pylist()
    for name, content in contents.items():
        of_text = [row for row in rows if row["text"] == name]
        assert {row["start"] for row in of_text if row["recited"]} == set(recited(demo, content)), name
        ids = demo[0](content, add_special_tokens=False, return_offsets_mapping=True)
        for row in of_text:
            offsets = ids["offset_mapping"][row["start"] : row["start"] + C]
            assert (row["first_character"], row["end_character"]) == (offsets[0][0], offsets[-1][1])
            assert row["recited"] == (row["em"] == C) and row["em"] <= row["longest_run"]
    assert {"never.txt", "middle.txt"} <= {row["text"] for row in rows} and "short.txt" not in {row["text"] for row in rows}


def test_the_spreadsheet_quotes_each_span_word_for_word(found, contents):
    raw = (found.directory / "spans.csv").read_bytes()
    assert raw.startswith("\N{ZERO WIDTH NO-BREAK SPACE}".encode()) and "🦉".encode() in raw
    lines = lines_of(found)
    assert [line["text"] for line in lines if line["status"] != "recited"] == ["never.txt", "short.txt"]
    assert {line["text"].removeprefix("'") for line in lines} == contents.keys()
    assert "'=1+1" in {line["text"] for line in lines}
    spans = [span for entry in result_of(found)["texts"] for span in entry["spans"]]
    quoted = [line for line in lines if line["status"] == "recited"]
    assert len(quoted) == len(spans)
    for line, span in zip(quoted, spans, strict=True):
        words = contents[line["text"].removeprefix("'")][int(line["from character"]) - 1 : int(line["to character"])]
        assert line["recited words"] in (words, f"'{words}") and words
        assert (int(line["from token"]), int(line["to token"])) == (span["start"] + 1, span["end"])
        assert int(line["exact match (EM)"]) == C == int(line["of"]) and 0 < float(line["p_z"]) <= 1


def test_the_page_marks_each_span_once(found, contents):
    page = (found.directory / "find.html").read_text("utf-8")
    marked = [html.unescape(words) for words in re.findall(r"<mark><sup>\d+</sup>(.*?)</mark>", page, re.DOTALL)]
    entries = result_of(found)["texts"]
    said = [contents[e["name"]][span["first_character"] : span["end_character"]] for e in entries for span in e["spans"]]
    # A page's newlines are all the same to HTML.
    assert [words.split() for words in marked] == [words.split() for words in said]
    assert "4 of 6 texts are recited by the model, at least in part" in page
    assert "<b>name" not in page and "<i>said" not in page and "&lt;i&gt;said" in page
    assert "short.txt" in page and "box 1" in page and "memunlearn find" in page


def test_the_terminal_names_every_text_in_80_columns(found):
    assert "4 of 6 texts are recited by the model, at least in part" in " ".join(found.out.split())
    for name in ("middle.txt", "never.txt", "short.txt", "letter 1"):
        assert sum(line.startswith(name) for line in found.out.splitlines()) == 1, name


def test_texts_are_left_out_where_they_are_not_to_be_shown(find, found, contents):
    done = find("show_texts=false")
    assert done.code == 0, done.err
    page = (done.directory / "find.html").read_text("utf-8")
    words = contents["letter 1"].split()[-1]
    assert "<mark>" not in page and words in (found.directory / "find.html").read_text("utf-8")
    assert "recited words" not in lines_of(done)[0] and [line["text"] for line in lines_of(done)] == [
        line["text"] for line in lines_of(found)
    ]


def test_a_finished_folder_is_not_searched_again_and_not_lost(find, given):
    done = find()
    before = {name: (done.directory / name).read_bytes() for name in FILES}
    again = find(directory=done.directory)
    assert again.code == 0 and "is complete already" in again.out
    other = find("least=5", directory=done.directory)
    assert "with other settings" in other.the_error()
    assert {name: (done.directory / name).read_bytes() for name in FILES} == before
    assert find("least=5", "overwrite=true", directory=done.directory).code == 0
    assert result_of(done)["least"] == 5 and all(span["em"] >= 5 for e in result_of(done)["texts"] for span in e["spans"])


def test_texts_that_changed_since_are_searched_anew(tiny_folder, contents, tmp_path):
    file = tmp_path / "one.txt"
    common = overrides(tmp_path, tiny_folder)[1:]
    for content, kind in ((contents["letter 1"], "recited"), (contents["never.txt"], "not recited")):
        file.write_text(content, newline="")
        done = command_runs.run("find", f"texts={file}", *common, directory=tmp_path / "f")
        assert done.code == 0 or "overwrite=true" in done.the_error()
        if done.code:
            done = command_runs.run("find", f"texts={file}", *common, "overwrite=true", directory=tmp_path / "f")
        assert [entry["kind"] for entry in result_of(done)["texts"]] == [kind]


def test_with_a_patch_the_unlearned_model_is_searched(find, found, given, tiny_folder, contents, tmp_path):
    rows = load_file(tiny_folder / "corpus.safetensors")
    torch.save(rows["background"][:60], tmp_path / "retain.pt")
    run = command_runs.run(
        "train",
        *command_runs.TRAINING,
        "model=local",
        f"model.name_or_path={tiny_folder}",
        "paragraphs=files",
        f"paragraphs.forget=[{given}/texts,{given}/letters.jsonl]",
        f"paragraphs.retain={tmp_path}/retain.pt",
        f"paragraphs.prefix_length={P}",
        f"paragraphs.continuation_length={C}",
        "stop.max_steps=30",
        "save_model=true",
        directory=tmp_path / "run",
    )
    assert run.code == 0, run.err
    done = find(f"patch={run.directory}", "stride=1")  # a run's folder stands for its patch
    assert done.code == 0, done.err
    result = result_of(done)
    assert result["patch"]["file"] == str(run.directory / "patch.safetensors")
    baked = AutoTokenizer.from_pretrained(tiny_folder), AutoModelForCausalLM.from_pretrained(run.directory / "model")
    assert result["model"]["fingerprint"] == fingerprint(baked[1]) != result_of(found)["model"]["fingerprint"]
    for entry in result["texts"]:
        starts = sliding_windows.recited(*baked, contents[entry["name"]], P, C)
        assert covered(entry) == {token for start in starts for token in range(start, start + C)}
    windows = [sum(span["windows"] for e in result_of(one)["texts"] for span in e["spans"]) for one in (done, found)]
    assert windows[0] < windows[1]
    page = (done.directory / "find.html").read_text()
    assert "with the patch" in page and "patch.safetensors" in page


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("texts=null", "texts is not set: give texts=FOLDER"),
        ("texts=/no/such/file.txt", "/no/such/file.txt"),
        ("prefix_length=0", "prefix_length=0 must be 1 or more"),
        ("min_prefix=11", "min_prefix=11 must be a whole number from 1 to 10"),
        ("least=11", "least=11 must be a whole number from 1 to 10"),
        ("stride=first", "stride=first looks at the beginning of each text only"),
        ("stride=0", "stride=0"),
        ("patch=/no/such/patch", "patch=/no/such/patch: no such file"),
        ("column=nothing", "nothing"),
    ],
)
def test_what_cannot_be_searched_is_one_line_before_the_model_is_loaded(given, tmp_path, more, said):
    done = command_runs.run("find", *overrides(given, "/no/such/model", more), directory=tmp_path / "f")
    error = done.the_error()
    assert said in error and "paragraphs." not in error.replace("paragraphs.path=FILE", "")
    assert not any((tmp_path / "f" / name).exists() for name in FILES)


def test_rows_of_ids_are_no_texts(tiny_folder, tmp_path):
    torch.save(load_file(tiny_folder / "corpus.safetensors")["memorized"], tmp_path / "rows.pt")
    common = overrides(tmp_path, tiny_folder)[1:]
    done = command_runs.run("find", f"texts={tmp_path}/rows.pt", *common, directory=tmp_path / "f")
    assert "holds rows of ids" in done.the_error() and "evaluate.py paragraphs=files" in done.the_error()


def test_windows_longer_than_the_model_reads_are_refused(find):
    assert "windows of 100010 tokens are longer than the" in find("prefix_length=100000").the_error()


def test_from_python_the_same_is_found(found, given, tiny_folder, tmp_path):
    cfg = mu.compose("find", *overrides(given, tiny_folder))
    done = mu.find(cfg, tmp_path / "f")
    assert done.result["texts"] == result_of(found)["texts"] and done.result["environment"]["command"] is None
    assert {file.name for file in done.directory.iterdir()} >= set(FILES)
    with pytest.raises(mu.UserError, match="other settings"):
        mu.find(mu.compose("find", *overrides(given, tiny_folder, "least=5")), tmp_path / "f")
