"""train.py on texts that somebody named: what is recited, wherever it begins, is forgotten; nothing else is trained on."""

import json

import command_runs
import pyarrow.parquet
import pytest
import sliding_windows
import tiny_demo
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

P, C = tiny_demo.P, tiny_demo.C


@pytest.fixture(scope="module")
def demo(tiny_folder):
    rows = load_file(tiny_folder / "corpus.safetensors")
    return AutoTokenizer.from_pretrained(tiny_folder), AutoModelForCausalLM.from_pretrained(tiny_folder), rows


@pytest.fixture(scope="module")
def given(demo, tmp_path_factory):
    """A folder of texts, a table with names, a file of retain rows."""
    tokenizer, _, rows = demo
    folder = tmp_path_factory.mktemp("given")
    memorized, unseen = (rows[name].tolist() for name in ("memorized", "unseen"))
    (folder / "texts").mkdir()
    texts = {
        "middle.txt": [*unseen[0], *unseen[1][:7], *memorized[0], *unseen[2]],
        "whole.md": memorized[1],
        "never.txt": [*unseen[3], *unseen[4]],
        "short.txt": unseen[5][: C - 1],
    }
    for name, ids in texts.items():
        (folder / "texts" / name).write_text(tokenizer.decode(ids), newline="")
    lines = [{"name": f"letter {n}", "source": f"box {n}", "text": tokenizer.decode(memorized[2 + n])} for n in range(3)]
    (folder / "letters.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    torch.save(rows["background"][:60], folder / "retain.pt")
    return folder


def overrides(given, tiny_folder, *more):
    return (
        *command_runs.TRAINING,
        "model=local",
        f"model.name_or_path={tiny_folder}",
        "paragraphs=files",
        f"paragraphs.forget=[{given}/texts,{given}/letters.jsonl]",
        f"paragraphs.retain={given}/retain.pt",
        f"paragraphs.prefix_length={P}",
        f"paragraphs.continuation_length={C}",
        *more,
    )


@pytest.fixture(scope="module")
def run(given, tiny_folder, tmp_path_factory):
    done = command_runs.run("train", *overrides(given, tiny_folder), directory=tmp_path_factory.mktemp("recited") / "run")
    assert done.code == 0, done.err
    return done


def recited(demo, content):
    tokenizer, model, _ = demo
    return sliding_windows.recited(tokenizer, model, content, P, C)


def contents(given):
    texts = {file.name: file.open(newline="").read() for file in (given / "texts").iterdir()}
    lines = map(json.loads, (given / "letters.jsonl").read_text().splitlines())
    return texts | {line["name"]: line["text"] for line in lines}


def test_every_recited_window_is_in_a_span_and_no_other(run, demo, given):
    entries = {entry["name"]: entry for entry in run.result["texts"]}
    for name, content in contents(given).items():
        starts = recited(demo, content)
        tokens = {token for start in starts for token in range(start, start + C)}
        spans = entries[name]["spans"]
        assert {token for span in spans for token in range(span["start"], span["end"])} == tokens, name
        assert sum(span["windows"] for span in spans) == len(starts)
        ids = demo[0](content, add_special_tokens=False, return_offsets_mapping=True)
        for span in spans:
            assert span["first_character"] == ids["offset_mapping"][span["start"]][0]
            assert span["end_character"] == ids["offset_mapping"][span["end"] - 1][1]
        assert entries[name]["tokens"] == len(ids["input_ids"])
    assert {name: entry["kind"] for name, entry in entries.items() if entry["kind"] != "recited"} == {
        "never.txt": "not recited",
        "short.txt": "too short",
    }
    assert entries["letter 1"]["columns"] == {"name": "letter 1", "source": "box 1"}


def test_only_recited_rows_are_forgotten_and_reported(run, demo, given):
    table = pyarrow.parquet.read_table(run.directory / "paragraphs.parquet").to_pylist()
    forget = [row for row in table if row["set"] == "forget"]
    assert {row["em_before"] for row in forget} == {C} and run.result["before"]["forget"]["em"] == C
    texts = contents(given)
    assert {row["text"] for row in forget} == {"middle.txt", "whole.md", "letter 0", "letter 1", "letter 2"}
    for row in forget:
        content = texts[row["text"]]
        assert row["token_start"] in recited(demo, content)
        assert demo[0].decode(demo[0](content)["input_ids"][row["token_start"] :][:C]) == row["continuation"]
        assert content[row["first_character"] : row["end_character"]] == row["continuation"]
    letter = next(row for row in forget if row["text"] == "letter 2")
    assert json.loads(letter["text_columns"]) == {"name": "letter 2", "source": "box 2"}
    assert all(row["text"] is None for row in table if row["set"] == "retain")
    assert len({row["cluster"] for row in forget if row["text"] == "middle.txt"}) == 1


def test_the_terminal_and_the_page_name_what_was_left_out(run):
    assert "5 of 7 recited, at least in part: middle.txt, whole.md, letter 0, letter 1, letter 2" in run.out
    assert "1 of 7 not recited, so neither trained on nor reported: never.txt" in run.out
    assert "1 of 7 too short to be asked for: short.txt" in run.out
    page = (run.directory / "report.html").read_text()
    assert "5 of 7 texts are recited" in page and "source: box 1" in page and "never.txt" in page


def test_a_patch_is_judged_on_the_same_rows_with_their_places(run, tmp_path):
    done = command_runs.run("evaluate", f"patch={run.directory}/patch.safetensors", "accelerator=cpu", directory=tmp_path / "e")
    assert done.code == 0, done.err
    before = pyarrow.parquet.read_table(run.directory / "paragraphs.parquet").to_pylist()
    after = pyarrow.parquet.read_table(tmp_path / "e" / "paragraphs.parquet").to_pylist()
    keys = ("set", "text", "token_start", "first_character", "text_columns", "cluster")
    assert [tuple(row[key] for key in keys) for row in after if row["set"] == "forget"] == [
        tuple(row[key] for key in keys) for row in before if row["set"] == "forget"
    ]


def test_rows_like_any_part_of_a_text_are_not_kept(run, given, tiny_folder, demo, tmp_path):
    """Also like a part that is not recited: kept it would teach the model the text."""
    tokenizer, _, rows = demo
    part = tokenizer((given / "texts" / "never.txt").open(newline="").read())["input_ids"][: P + C]
    torch.save(torch.cat([rows["background"][:60], torch.tensor([part])]), tmp_path / "retain.pt")
    more = f"paragraphs.retain={tmp_path}/retain.pt"
    done = command_runs.run("train", *overrides(given, tiny_folder, more), directory=tmp_path / "run")
    assert done.code == 0, done.err
    assert "paragraphs.retain: 1 row left out: near-duplicates of parts of texts" in done.out
    kept = [load_file(one.directory / "rows.safetensors") for one in (run, done)]
    for name in ("retain_train", "retain_val", "retain"):
        assert torch.equal(kept[0][name], kept[1][name])


def test_nothing_recited_is_one_line(given, tiny_folder, tmp_path):
    more = f"paragraphs.forget={given}/texts/never.txt"
    done = command_runs.run("train", *overrides(given, tiny_folder, more), directory=tmp_path / "run")
    assert "none of the 1 texts of paragraphs.forget is recited" in done.the_error()
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("paragraphs.stride=0", "paragraphs.stride=0"),
        ("paragraphs.stride=last", "paragraphs.stride=last"),
        (f"paragraphs.min_prefix={P + 1}", f"paragraphs.min_prefix={P + 1}"),
        ("paragraphs.max_windows=0", "paragraphs.max_windows=0"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_the_model_is_loaded(given, tmp_path, more, said):
    done = command_runs.run("train", *overrides(given, "/no/such/model", more), directory=tmp_path / "run")
    assert said in done.the_error()


def test_localize_takes_what_is_recited(given, tiny_folder, tmp_path):
    inputs = [one for one in overrides(given, tiny_folder) if one.startswith(("model", "paragraphs"))]
    done = command_runs.run("localize", *inputs, "analysis=em_nll", "accelerator=cpu", directory=tmp_path / "l")
    assert done.code == 0, done.err
    assert "5 of 7 recited" in done.out
