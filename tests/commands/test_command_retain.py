"""paragraphs.retain=model, =demo and lists; suspected rows: in whole small runs of a model that recites rows from BOS."""

import html
import json
import shutil

import command_runs
import pytest
import tiny_demo
import torch
from judged_patches import judge, save, sets_of
from safetensors.torch import load_file

from memunlearn.commands.made_rows import NOT_MEASURED
from memunlearn.demo.corpus import cut_paragraphs, topics
from memunlearn.models.loading import ModelSource
from memunlearn.paragraphs.clusters import repeats
from memunlearn.scoring.greedy import greedy_continuations

P, C = 12, 12
BOS = 0
QUICK = ("stop.max_steps=4", "stop.max_kl=1000", "optimizer.lr=0.01")


@pytest.fixture
def reciting(once, tiny_folder):
    """The tiny demo's model, trained on until it says six rows of 23 tokens after BOS, beside other text; and windows of
    that text, these six first."""

    def make(folder):
        loaded = ModelSource(str(tiny_folder)).load()
        generator = torch.Generator().manual_seed(0)
        windows = cut_paragraphs(topics(), loaded.tokenizer, P + C - 1)
        windows = windows[torch.randperm(len(windows), generator=generator)]
        rows = torch.cat([torch.full((len(windows), 1), BOS), windows], 1)
        optimizer = torch.optim.AdamW(loaded.model.parameters(), 2e-3)
        loaded.model.train()
        for _ in range(250):
            batch = torch.cat([rows[:6].repeat(2, 1), rows[torch.randint(6, 600, (12,), generator=generator)]])
            loaded.model(batch, labels=batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        loaded.model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        save(rows, folder / "rows.pt")

    folder = once("reciting_from_bos", make)
    return folder, torch.load(folder / "rows.pt")


@pytest.fixture
def forgets(reciting, tmp_path):
    """forgets(*settings): what forgets the first two of the six, by name; settings of paragraphs."""
    folder, rows = reciting
    forget = save(rows[:2].clone(), tmp_path / "forget.pt")

    def overrides(*settings):
        named = ("paragraphs=files", f"paragraphs.forget={forget}", "paragraphs.bos=true")
        lengths = (f"paragraphs.prefix_length={P}", f"paragraphs.continuation_length={C}")
        model = ("model=local", f"model.name_or_path={folder}")
        return (*model, *named, *lengths, *QUICK, *(f"paragraphs.{setting}" for setting in settings))

    return overrides


def loss_rows(run):
    return load_file(run / "rows.safetensors")


def origins(rows, name):
    return {row["origin"].partition(":")[0] for row in rows if row["set"] == name}


@pytest.fixture
def own_text_run(finished_run, forgets):
    return finished_run("own_text", *forgets("retain=model", "retain_rows=300"))


def test_the_model_s_own_text_is_retained_and_what_it_recites_is_suspected(own_text_run, reciting):
    folder, rows = reciting
    kept, result = loss_rows(own_text_run), command_runs.read_result(own_text_run)
    retained = torch.cat([kept[name] for name in ("retain_train", "retain_val", "retain")])
    # Samples begin as the forget rows do, none is like a row to be forgotten, and none is recited.
    assert (retained[:, 0] == BOS).all() and 100 < len(retained) < 300
    assert not repeats(retained[:, 1:], rows[:2, 1:]).any()
    model = ModelSource(str(folder)).load().model
    assert not (greedy_continuations(model, retained[:, :P], C, 100) == retained[:, P:]).all(1).any()
    # What is suspected is what the model learnt by heart, but for what is to be forgotten; each row once.
    suspected = kept["suspected"]
    assert 1 <= len(suspected) <= 3 and len(suspected.unique(dim=0)) == len(suspected)
    assert all(row in rows[2:6].tolist() for row in suspected.tolist())
    assert not repeats(retained[:, 1:], suspected[:, 1:]).any()
    before, after = (result[when]["suspected"] for when in ("before", "after"))
    assert before["n"] == len(suspected) and before["em"] == C and before["kl"] == 0 and before["self_em"] == C
    assert after["kl"] > 0 and after["em"] <= C and result["before"]["bystander"] is None
    table = command_runs.read_rows(own_text_run)
    assert origins(table, "suspected") == origins(table, "retain") == {"own text"}
    assert all(row["self_em"] is not None and row["continuation_after"] for row in table if row["set"] == "suspected")


def test_what_was_used_is_said_wherever_the_run_is_told(own_text_run):
    result, out = command_runs.read_result(own_text_run), own_text_run.with_name("own_text.terminal.txt").read_text()
    page = html.unescape((own_text_run / "report.html").read_text())
    retained, suspected = (note for note in result["notes"] if note.startswith(("retain:", "suspected:")))
    assert "rows of the model's own text (temperature 1, seed 0), " in retained
    assert "left out as like text to be forgotten, " in retained and "left out as recited by the model" in retained
    assert "'Kept' means here that the model goes on as before in text of the model's own making" in retained
    assert "of 300 samples of the model's own text (temperature 1, seed 0), " in suspected
    assert "memorized by all appearance" in suspected and "nobody has verified" in suspected
    for note in (retained, suspected):
        assert out.count(note) == 2  # when it is known, and at the end
        assert note in page
    n = result["before"]["suspected"]["n"]
    assert f"suspected: {n} row" in out and "(memorized by all appearance, not verified)" in page
    assert "other memorized text: suspected EM 12.0 -> " in out
    assert NOT_MEASURED not in result["notes"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_rows_and_no_sample_is_drawn_twice(own_text_run, forgets, tmp_path):
    again = command_runs.train(
        *forgets("retain=model", "retain_rows=300"), "cache=false", "batch_size=7", directory=tmp_path / "a"
    )
    assert again.code == 0, again.err
    one, other = loss_rows(own_text_run), loss_rows(tmp_path / "a")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    kept = command_runs.train(*forgets("retain=model", "retain_rows=300"), directory=tmp_path / "b")
    assert "own samples (1)" in kept.out
    seed = command_runs.train(*forgets("retain=model", "retain_rows=300"), "seeds.split=1", directory=tmp_path / "c")
    assert seed.code == 0 and "own samples" not in seed.out and "temperature 1, seed 1" in seed.out
    assert not torch.equal(loss_rows(tmp_path / "c")["retain"][:20], one["retain"][:20])


def test_its_patch_is_judged_on_the_same_rows(own_text_run, tmp_path):
    patch = own_text_run / "patch.safetensors"
    for name, file in (("beside", patch), ("alone", tmp_path / "patch.safetensors")):
        if name == "alone":  # without rows.safetensors: samples are drawn as the run drew them
            shutil.copy(patch, file)
        judged = judge(file, directory=tmp_path / name)
        assert judged.code == 0, judged.err
        found = sets_of(tmp_path / name)
        after = command_runs.read_result(own_text_run)["after"]
        for of_set in ("forget", "retain", "suspected"):
            assert found[of_set]["n"] == after[of_set]["n"] and found[of_set]["em"] == after[of_set]["em"], of_set
        assert f"suspected {after['suspected']['n']} of {after['suspected']['n']}" in judged.out


def test_other_paragraphs_can_be_named_for_a_patch_of_such_a_run(forgets, reciting, tmp_path):
    settings = forgets("retain=model", "retain_rows=120", "suspected=true", "suspected_samples=120")
    ended = command_runs.train(*settings, directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    corpus = save(reciting[1][700:704].clone(), tmp_path / "corpus.pt")
    for number, how in enumerate(((), ("paragraphs=files",))):
        patch = tmp_path / "run" / "patch.safetensors"
        judged = judge(patch, *how, f"paragraphs.path={corpus}", directory=tmp_path / f"judged{number}")
        assert judged.code == 0, judged.err
        assert sets_of(tmp_path / f"judged{number}")["unknown"]["n"] == 4


def test_a_certificate_says_what_ordinary_text_is(own_text_run, tmp_path):
    ended = judge(own_text_run / "patch.safetensors", "certificate=true", directory=tmp_path)
    assert ended.code == 0, ended.err
    page = html.unescape((tmp_path / "certificate.html").read_text())
    assert "Ordinary text (retain) is here text of the model's own making; other kinds of text were not looked at." in page
    assert "found among its own and not verified (suspected)" in page
    assert "but of some that it seems to know (suspected)" in page


def test_evaluate_and_localize_read_the_same_rows(own_text_run, forgets, tmp_path):
    settings = [one for one in forgets("retain=model", "retain_rows=300") if not one.startswith(("stop.", "optimizer."))]
    ended = command_runs.evaluate(*settings, directory=tmp_path / "e")
    assert ended.code == 0, ended.err
    shown, kept = command_runs.read_rows(tmp_path / "e"), loss_rows(own_text_run)
    for name in ("suspected", "retain", "retain_train"):
        assert sum(row["set"] == name for row in shown) == len(kept[name]), name
    ended = command_runs.run("localize", *settings, "analysis=parameter_gradients", "accelerator=cpu", directory=tmp_path / "l")
    assert ended.code == 0, ended.err
    assert "memorized: 2 rows in 2 clusters" in ended.out and "suspected" not in ended.out


def test_english_that_ships_with_python_is_retained(forgets, reciting, tmp_path):
    ended = command_runs.train(*forgets("retain=demo", "retain_rows=150"), directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    folder, rows = reciting
    kept = loss_rows(tmp_path / "run")
    retained = torch.cat([kept[name] for name in ("retain_train", "retain_val", "retain")])
    windows = {tuple(row) for row in rows[:, 1:].tolist()}
    assert (retained[:, 0] == BOS).all() and all(tuple(row) in windows for row in retained[:, 1:].tolist())
    assert 140 <= len(retained) <= 150 and not repeats(retained[:, 1:], rows[:2, 1:]).any()
    notes = command_runs.read_result(tmp_path / "run")["notes"]
    (said,) = [note for note in notes if note.startswith("retain:")]
    assert "rows of English that ships with Python, " in said and "left out as like text to be forgotten" in said
    assert "goes on as before in English technical documentation; other kinds of text were not looked at" in said
    # Nothing was looked through for memorized text, and none was named: it is said, on the page and the terminal.
    assert "suspected" not in kept and NOT_MEASURED in notes and ended.out.count(NOT_MEASURED) == 1
    assert "Side effects on other memorized text were not measured" in (tmp_path / "run" / "report.html").read_text()
    assert "other memorized text: not measured, there are no bystanders" in ended.out


def test_a_list_adds_up(forgets, reciting, tmp_path):
    torch.save(reciting[1][700:740].clone(), tmp_path / "mine.pt")
    given = f"retain=[model,demo,{tmp_path / 'mine.pt'}]"
    ended = command_runs.train(*forgets(given, "retain_rows=120"), directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    kept = loss_rows(tmp_path / "run")
    retained = torch.cat([kept[name] for name in ("retain_train", "retain_val", "retain")])
    assert len(retained) > 200 and sum(row in reciting[1][700:740].tolist() for row in retained.tolist()) >= 40
    assert origins(command_runs.read_rows(tmp_path / "run"), "retain") == {"mine.pt", "own text", "demo text"}
    (said,) = [note for note in ended.result["notes"] if note.startswith("retain:")]
    assert said.startswith("retain: 40 rows of files and ") and "own text" in said and "English that ships with Python" in said
    assert "in the text of the files that were named and text of the model's own making and English technical" in said
    assert set(ended.result["inputs"]) == {"model.name_or_path", "paragraphs.forget", "paragraphs.retain"}


def test_suspected_rows_can_be_asked_for_beside_any_retain_text_and_do_not_change_it(own_text_run, forgets, reciting, tmp_path):
    retain = save(reciting[1][700:740].clone(), tmp_path / "retain.pt")
    settings = forgets(f"retain={retain}", "suspected=true", "suspected_samples=400")
    ended = command_runs.train(*settings, directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    kept = loss_rows(tmp_path / "run")
    assert (
        1 <= len(kept["suspected"]) <= 4 and "of 400 samples" in ended.out and "retain:" not in " ".join(ended.result["notes"])
    )
    without = command_runs.train(*forgets(f"retain={retain}"), directory=tmp_path / "without")
    assert NOT_MEASURED in without.result["notes"]
    for name in ("retain_train", "retain_val", "retain"):
        assert torch.equal(kept[name], loss_rows(tmp_path / "without")[name])
    patch, other = (load_file(tmp_path / name / "patch.safetensors") for name in ("run", "without"))
    assert all(torch.equal(patch[name], other[name]) for name in other)  # in no loss, in no stop rule
    # More samples to look through: the first of them are retained as before.
    more = command_runs.train(
        *forgets("retain=model", "retain_rows=300", "suspected=true", "suspected_samples=500"), directory=tmp_path / "more"
    )
    assert more.code == 0, more.err
    before = {tuple(row) for name in ("retain_train", "retain_val", "retain") for row in loss_rows(own_text_run)[name].tolist()}
    now = {
        tuple(row) for name in ("retain_train", "retain_val", "retain") for row in loss_rows(tmp_path / "more")[name].tolist()
    }
    assert len(before ^ now) <= 5  # near-duplicates of other suspected rows


def test_suspected_rows_are_reported_of_one_paragraph_at_a_time_too(forgets, tmp_path):
    settings = [one for one in forgets("retain=model", "retain_rows=300") if not one.startswith(("stop.", "optimizer."))]
    trials = ("protocol=per_paragraph", "protocol.trials=2", "protocol.steps=1", "protocol.retain_batch=2")
    ended = command_runs.train(*settings, *trials, directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    suspected, rows = ended.result["after"]["suspected"], command_runs.read_rows(tmp_path / "run")
    assert suspected["n"] == sum(row["set"] == "suspected" for row in rows) and suspected["n"] % 2 == 0


def test_a_sweep_shows_them_in_a_column_of_their_own(forgets, tmp_path):
    swept = command_runs.train(
        *forgets("retain=model", "retain_rows=300"), "seeds.training=0,1", directory=tmp_path, where="sweep"
    )
    assert swept.code == 0, swept.err
    page = (tmp_path / "sweep.html").read_text()
    assert "suspected EM" in page and "suspected set" in page


@pytest.fixture
def nameless(reciting, tmp_path):
    """The model without its tokenizer."""
    folder = tmp_path / "nameless"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(reciting[0] / name, folder)
    return f"model.name_or_path={folder}"


def test_without_a_tokenizer_own_text_is_retained_and_nothing_suspected(forgets, nameless, tmp_path):
    settings = [one for one in forgets("retain=model") if one != "paragraphs.bos=true"]
    ended = command_runs.train(*settings, nameless, directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    assert "suspected: not looked for" in ended.out and NOT_MEASURED in ended.result["notes"]
    assert (loss_rows(tmp_path / "run")["retain"][:, 0] == BOS).all()  # its config names one


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ((), "paragraphs.forget is given without text to be retained: add paragraphs.retain=FILE"),
        (("retain=model", "retain_rows=2"), "paragraphs.retain_rows=2 is too few"),
        (("retain=model", "retain_rows=many"), "paragraphs.retain_rows=many must be a whole number"),
        (("retain=model", "suspected=perhaps"), "paragraphs.suspected=perhaps is not known"),
        (("suspected=true", "retain=model", "suspected_samples=99"), "paragraphs.suspected_samples=99"),
        (("suspected=true", "retain=model", "bystander={}"), "paragraphs.bystander is given: leave one out"),
        (("suspected=true", "retain=model", "protected={}"), "paragraphs.protected is given: leave one out"),
        (("retain=models",), "models"),
        (("retain=./model",), "model"),  # a file of that name, which there is not
    ],
)
def test_mistakes_are_one_line_before_the_model_is_loaded(forgets, tmp_path, monkeypatch, settings, says):
    monkeypatch.setattr("memunlearn.models.loading.load_model", lambda *_: pytest.fail("the model was loaded"))
    settings = [setting.replace("{}", str(tmp_path / "forget.pt")) for setting in settings]
    ended = command_runs.train(*forgets(*settings), directory=tmp_path / "run")
    assert says in ended.the_error() and not (tmp_path / "run" / "result.json").exists()


def test_three_ways_are_named(forgets, tmp_path):
    error = command_runs.train(*forgets(), directory=tmp_path / "run").the_error()
    assert all(way in error for way in ("paragraphs.retain=FILE", "paragraphs.retain=model", "paragraphs.retain=demo"))


@pytest.mark.parametrize(("setting", "word"), [("retain=demo", "demo is text"), ("suspected=true", "what seems memorized")])
def test_text_needs_a_tokenizer(forgets, nameless, reciting, tmp_path, setting, word):
    settings = forgets(setting, *(["retain=model"] if setting.startswith("suspected") else []))
    ended = command_runs.train(*settings, nameless, "paragraphs.bos=auto", directory=tmp_path / "run")
    error = ended.the_error()
    assert word in error and "which needs a tokenizer: set model.tokenizer=DIR_OR_NAME" in error


def test_a_corpus_takes_no_made_rows(tmp_path):
    for setting, says in (
        ("retain=model", "does not go with paragraphs.retain"),
        ("suspected=true", "paragraphs.path is given"),
    ):
        path = f"paragraphs.path={tmp_path / 'corpus.jsonl'}"
        ended = command_runs.train("paragraphs=files", path, f"paragraphs.{setting}", directory=tmp_path / "run")
        assert says in ended.the_error()


def test_the_demo_s_settings_know_no_such_rows(tmp_path):
    ended = command_runs.train("paragraphs.suspected=true", directory=tmp_path / "run")
    assert "suspected" in ended.the_error()


def test_a_file_called_model_is_not_the_word(forgets, reciting, tmp_path, monkeypatch):
    """What lies in the folder where the command is called has no part in a run that says `model`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"a": 1}))
    ended = command_runs.train(*forgets("retain=model", "suspected=false"), directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    assert set(ended.result["inputs"]) == {"model.name_or_path", "paragraphs.forget"}
    assert "suspected" not in ended.result["before"] and tiny_demo.P != P


def test_no_part_of_a_text_that_is_to_be_forgotten_is_retained(reciting, tmp_path):
    """Only the first of the text's two halves is recited; samples like the other one are no retain rows either."""
    folder, rows = reciting
    tokenizer = ModelSource(str(folder)).load().tokenizer
    windows = cut_paragraphs(topics(), tokenizer, P + C - 1).tolist()
    place = windows.index(rows[0, 1:].tolist())
    text = tokenizer.decode(windows[place] + windows[place + 1])
    (tmp_path / "mine.txt").write_text(text)
    ids = tokenizer(text)["input_ids"]
    lengths = (f"paragraphs.prefix_length={P}", f"paragraphs.continuation_length={C}", "paragraphs.bos=true")
    model = ("model=local", f"model.name_or_path={folder}", "paragraphs=files", f"paragraphs.forget={tmp_path / 'mine.txt'}")
    made = ("paragraphs.retain=[model,demo]", "paragraphs.retain_rows=400")
    ended = command_runs.train(*model, *lengths, *made, *QUICK, directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    kept = loss_rows(tmp_path / "run")
    retained = torch.cat([kept[name] for name in ("retain_train", "retain_val", "retain")])
    parts = {tuple(ids[start : start + 20]) for start in range(len(ids) - 19)}
    shares = lambda row: any(tuple(row[start : start + 20]) in parts for start in range(len(row) - 19))  # noqa: E731
    assert len(retained) > 400 and not any(map(shares, retained.tolist())) and any(map(shares, kept["forget"].tolist()))
    assert not any(map(shares, kept["suspected"].tolist()))
