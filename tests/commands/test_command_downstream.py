"""`evaluate.py lm_eval=[TASKS]`: tasks of lm-evaluation-harness from a local file, on both models."""

import json
import random
import shutil
import sys

import command_runs
import pytest
import tiny_demo
import torch
from judged_patches import assert_same, judge, sets_of
from transformers import AutoModelForCausalLM, AutoTokenizer

from memunlearn.evaluation import downstream
from memunlearn.models.patches import apply_patch, load_patch

pytest.importorskip("lm_eval")

DOCUMENTS, CHOICES = 80, 8
TASK = """
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: {data}
  cache_dir: {cache}
test_split: train
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_target: answer
doc_to_choice: "{{{{choices}}}}"
metric_list:
  - metric: acc
  - metric: acc_norm
"""


@pytest.fixture(scope="module")
def documents():
    draw = random.Random(4)
    words = "the object list class string value name type method function import statement expression a module".split()
    texts = [(" ".join(draw.choices(words, k=5)), draw.sample(words, CHOICES)) for _ in range(DOCUMENTS)]
    return [{"question": question, "choices": choices, "answer": draw.randrange(CHOICES)} for question, choices in texts]


@pytest.fixture(scope="module")
def tasks(documents, tmp_path_factory):
    """A folder with the tasks `topics`, `lost`, whose documents are not there, and `code`, which runs what a model says."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "topics.jsonl").write_text("\n".join(map(json.dumps, documents)) + "\n")
    for name, data in (("topics", folder / "topics.jsonl"), ("lost", folder / "nowhere.jsonl")):
        (folder / f"{name}.yaml").write_text(TASK.format(name=name, data=data, cache=folder / "cache"))
    code = TASK.format(name="code", data=folder / "topics.jsonl", cache=folder / "cache")
    (folder / "code.yaml").write_text(f"{code}unsafe_code: true\n")
    return folder


@pytest.fixture
def judged(gradient_run, tasks, once):
    """The folder of a patch that was judged with `topics`; what it printed lies beside it."""

    def make(folder):
        ended = judge(gradient_run / "patch.safetensors", *asking(tasks), directory=folder)
        assert ended.code == 0, ended.err
        folder.with_name("downstream.txt").write_text(ended.out)

    return once("downstream", make)


def asking(tasks, name="topics"):
    return f"lm_eval=[{name}]", f"lm_eval_include='{tasks}'"


def naive_hits(model, tokenizer, documents):
    """For each document whether the choice with the highest log-probability is the right one, one sequence at a time."""
    hits = []
    for document in documents:
        question, scores = tokenizer(document["question"])["input_ids"], []
        for choice in document["choices"]:
            ids = tokenizer(f"{document['question']} {choice}")["input_ids"]
            with torch.no_grad():
                log_probs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            scores.append(sum(log_probs[i - 1, ids[i]].item() for i in range(len(question), len(ids))))
        hits.append(float(max(range(CHOICES), key=scores.__getitem__) == document["answer"]))
    return hits


@pytest.mark.slow
def test_both_models_are_scored_as_a_naive_loop_scores_them(judged, documents, gradient_run, tiny_folder):
    found = command_runs.read_result(judged, "evaluation.json")["lm_eval"]
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    base, unlearned = (AutoModelForCausalLM.from_pretrained(tiny_folder).eval() for _ in range(2))
    apply_patch(unlearned, load_patch(gradient_run / "patch.safetensors"))
    before, after = (naive_hits(model, tokenizer, documents) for model in (base, unlearned))
    row = next(row for row in found["tasks"] if row["metric"] == "acc")
    assert row["task"] == "topics" and row["n"] == row["of"] == DOCUMENTS and row["shots"] == 0 and row["higher_is_better"]
    assert row["base"]["value"] == pytest.approx(sum(before) / DOCUMENTS)
    assert row["unlearned"]["value"] == pytest.approx(sum(after) / DOCUMENTS)
    assert row["difference"] == pytest.approx((sum(after) - sum(before)) / DOCUMENTS)
    assert before != after and any(before) and not all(before)
    low, high = row["difference_ci"]
    assert low < row["difference"] < high
    assert {row["metric"] for row in found["tasks"]} == {"acc", "acc_norm"} and found["limit"] is None and found["version"]


@pytest.mark.slow
def test_the_terminal_shows_both(judged):
    row = command_runs.read_result(judged, "evaluation.json")["lm_eval"]["tasks"][0]
    line = next(line for line in judged.with_name("downstream.txt").read_text().splitlines() if line.startswith("topics"))
    assert f"{row['base']['value']:.3f}" in line and f"{row['unlearned']['value']:.3f}" in line


@pytest.mark.slow
def test_it_changes_nothing_of_the_rest(judged, gradient_run):
    assert_same(sets_of(judged), command_runs.read_result(gradient_run)["after"])


@pytest.mark.slow
def test_a_model_alone_with_a_limit(tasks, tmp_path):
    ended = command_runs.evaluate(*asking(tasks), "lm_eval_limit=5", directory=tmp_path)
    assert ended.code == 0, ended.err
    found = command_runs.read_result(tmp_path, "evaluation.json")["lm_eval"]
    assert found["limit"] == 5
    for row in found["tasks"]:
        assert (row["n"], row["of"]) == (5, DOCUMENTS)
        assert 0 <= row["base"]["value"] <= 1 and row["unlearned"] is row["difference"] is row["difference_ci"] is None


def test_nothing_asked_is_nothing_said(tmp_path):
    assert command_runs.evaluate(directory=tmp_path).code == 0
    assert "lm_eval" not in command_runs.read_result(tmp_path, "evaluation.json")


@pytest.mark.parametrize(
    "overrides, words",
    [
        (("lm_eval=[topic]", "lm_eval_include='{}'"), ("topic is not known", "did you mean", "topics", "lm_eval_include")),
        (("lm_eval=[lost]", "lm_eval_include='{}'"), ("lost cannot be loaded", "nowhere.jsonl")),
        (("lm_eval=topics",), ("lm_eval=topics must be a list",)),
        (("lm_eval=[1]",), ("must be a list of tasks",)),
        (("lm_eval=[topics,topics]", "lm_eval_include='{}'"), ("twice",)),
        (("lm_eval=[topics]", "lm_eval_include='{}/none'"), ("is no folder",)),
        (("lm_eval=[topics]", "lm_eval_limit=0"), ("lm_eval_limit=0", "1 or more")),
        (("lm_eval=[code]", "lm_eval_include='{}'"), ("code runs code that the model writes", "leave it out")),
        (("lm_eval_limit=5",), ("lm_eval_limit=5 is for lm_eval=",)),
    ],
)
def test_a_mistake_is_one_line_before_long_work(overrides, words, tasks, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ended = command_runs.evaluate(*(one.replace("{}", str(tasks)) for one in overrides), directory=tmp_path)
    line = ended.error_lines[0]
    assert ended.code == 2 and len(ended.error_lines) == 1 and all(word in line for word in words), ended.err
    assert "model:" not in ended.out and not (tmp_path / "evaluation.json").exists()


def test_without_the_extra_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    line = command_runs.evaluate("lm_eval=[lambada_openai]", directory=tmp_path).the_error()
    assert "pip install 'memunlearn[lm-eval]'" in line


def test_a_model_without_a_tokenizer_is_refused(tasks, tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "model", ignore=shutil.ignore_patterns("tokenizer*", "special*"))
    torch.save(torch.randint(0, 512, (6, tiny_demo.P + tiny_demo.C)), tmp_path / "rows.pt")
    ended = command_runs.evaluate(
        *("model=local", f"model.name_or_path='{tmp_path / 'model'}'", "paragraphs=files"),
        f"paragraphs.path='{tmp_path / 'rows.pt'}'",
        *asking(tasks),
        directory=tmp_path / "out",
    )
    assert ended.code == 2 and "has no tokenizer: set model.tokenizer" in ended.error_lines[0], ended.err


def test_evaluate_is_the_library_and_not_the_script(monkeypatch):
    """The script lies in the folder where commands are started, which Python searches first."""
    monkeypatch.delitem(sys.modules, "evaluate", raising=False)
    monkeypatch.syspath_prepend(str(command_runs.ROOT))
    path = list(sys.path)
    downstream._import_the_library_evaluate()
    assert callable(sys.modules["evaluate"].load) and sys.path == path
