"""docs/extending.md: its files are written as they stand there, and its commands run on tiny stand-ins."""

import re
import shlex

import command_runs
import pytest
import tiny_demo
import torch
from transformers import AutoTokenizer, HeliumConfig, HeliumForCausalLM

from memunlearn.objectives.material import Side, StepMaterial

PAGE = (command_runs.ROOT / "docs" / "extending.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
FILES = dict(re.fullmatch(r"# (\S+)\n(.*)", text, re.DOTALL).groups() for kind, text in BLOCKS if kind)
COMMANDS = [line for kind, text in BLOCKS if not kind for line in text.splitlines()]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the page's files, in which its commands are called."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def called(words, *more, directory):
    """The page's command that holds these words, on the tiny demo."""
    (line,) = [line for line in COMMANDS if words in line and " -m " not in line]
    _, script, *arguments = shlex.split(line)
    flags, overrides = arguments[:2], (*arguments[2:], *more)
    if script == "train":
        return command_runs.run("train", *flags, *command_runs.training(*overrides), directory=directory)
    return command_runs.run(script, *flags, *tiny_demo.OVERRIDES, "accelerator=cpu", *overrides, directory=directory)


def test_every_block_of_the_page_is_a_file_or_a_command():
    assert {kind for kind, _ in BLOCKS} == {"", "python", "yaml"} and len(FILES) == 7 and len(COMMANDS) == 5
    assert all(re.match(r"memunlearn (train|evaluate) --config-dir own ", line) for line in COMMANDS)


def test_an_objective(here):
    ended = called("objective=flatten", "stop.forget_em=0", directory=here / "run")
    assert ended.code == 0, ended.err
    assert ended.result["config"]["objective"]["_target_"] == "own_objective.Flatten"
    assert ended.result["after"]["forget"]["nll"] > ended.result["before"]["forget"]["nll"]


def test_an_objective_s_value_and_gradient(here):
    from own_objective import Flatten

    generator = torch.Generator().manual_seed(2)
    logits, retain, reference = (torch.randn(3, 4, 7, generator=generator, requires_grad=True) for _ in range(3))
    labels = torch.randint(7, (3, 4), generator=generator)
    of_rows = {"rows": torch.arange(3), "labels": labels, "protected": torch.zeros(3, dtype=torch.bool)}
    kept = Side.of_logits(**of_rows, logits=retain, read_base_logits=reference.detach)
    losses = Flatten(0.5, 2.0)(StepMaterial(forget=Side.of_logits(**of_rows, logits=logits), retain=kept, deltas={}))
    naive = sum(-float(logits[i, j].softmax(-1)[v].log()) for i in range(3) for j in range(4) for v in range(7)) / (3 * 4 * 7)
    assert float(losses.forget_term) == pytest.approx(0.5 * naive, rel=1e-5)
    losses.forget_term.backward()
    assert torch.allclose(logits.grad, 0.5 * (logits.softmax(-1) - 1 / 7).detach() / 12, atol=1e-6)


def test_a_mask(here):
    ended = called("mask=every_layer", directory=here / "run")
    assert ended.code == 0, ended.err
    result = ended.result
    layers = [
        sum(count for name, count in result["mask"]["per_component"].items() if name.startswith(f"{layer}."))
        for layer in range(tiny_demo.SIZES["layers"])
    ]
    assert layers[0] == layers[1] == round(0.02 * result["mask"]["eligible"] / 2)


def test_its_run_is_resumed_where_it_is_allowed(here):
    """Nothing in a folder is called unasked, also if it is one's own."""
    assert called("mask=every_layer", "stop.max_steps=2", directory=here / "run").code == 0
    (here / "run" / "result.json").unlink()
    refused = command_runs.run("train", "resume=true", directory=here / "run").the_error()
    assert "'allow=[own_mask.EveryLayer]'" in refused
    assert command_runs.run("train", "resume=true", "allow=[own_mask.EveryLayer]", directory=here / "run").code == 0


def test_an_architecture(here):
    torch.manual_seed(5)
    shape = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    HeliumForCausalLM(HeliumConfig(**shape, num_key_value_heads=4, head_dim=8)).save_pretrained(here / "DIR")
    for name, count in (("FORGET", 4), ("RETAIN", 24)):
        torch.save(torch.randint(1, 60, (count, tiny_demo.P + tiny_demo.C)), here / f"{name}.pt")
    ended = called("model=helium", directory=here / "run")
    assert ended.code == 0, ended.err
    assert ended.result["mask"]["eligible"] == 2 * (4 * 32 * 32 + 3 * 32 * 48)
    without = called("model=helium", "model.patterns=null", directory=here / "other")
    assert "helium" in without.the_error() and "model.patterns" in without.the_error()


def test_a_data_source(here, tiny_folder):
    text = PAGE.replace("\n", " ")
    (here / "texts").mkdir()
    for number in range(6):
        (here / "texts" / f"{number}.txt").write_text(text[number * 300 : number * 300 + (300 if number else 10)])
    ended = called("memunlearn evaluate", directory=here / "run")
    assert ended.code == 0, ended.err
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    rows = command_runs.read_rows(here / "run")
    assert [row["origin"] for row in rows] == [f"{number}.txt" for number in range(1, 6)] and len(tokenizer) == 512
    empty = called("memunlearn evaluate", "paragraphs.folder=own", directory=here / "other")
    assert "paragraphs.folder=own has no .txt files" in empty.the_error()
