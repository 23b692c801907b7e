"""`make paper`, its own commands on a stand-in: one page with the paper's claims beside what was measured."""

import re
import shlex

import command_runs
import pytest
import tiny_demo

from memunlearn.reporting.__main__ import main
from memunlearn.reporting.paper import CLAIMS

STAND_IN = (*tiny_demo.OVERRIDES, "protocol.trials=2", "protocol.steps=1", "protocol.retain_batch=2", "trainer.accelerator=cpu")


def recipe():
    """The commands of the Makefile's target `paper`, as lists of words; variables that it sets are filled in."""
    makefile = (command_runs.ROOT / "Makefile").read_text()
    variables = dict(re.findall(r"^(PAPER_\w+) \?= (.*)$", makefile, re.MULTILINE)) | {"PAPER_INPUTS": ""}
    body = re.search(r"^paper:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1]
    for name, value in variables.items():
        body = body.replace(f"$({name})", value)
    return [shlex.split(line.partition(" || ")[0])[1:] for line in body.strip().splitlines()]


@pytest.fixture
def paper(once, tiny_cache):
    """The folder after the target's commands on the tiny demo, in less time: two analyses, two trials of one step."""

    def make(folder):
        localize, train, _ = recipe()
        assert (localize[0], train[:2]) == ("localize.py", ["train.py", "-m"])
        ended = command_runs.run(
            "localize", *tiny_demo.OVERRIDES, "analysis=[em_nll,attention_heads]", directory=folder / "localization"
        )
        assert ended.code == 0, ended.err
        both = "objective=unlearn_unbounded,edit"
        sweep = [one for one in train[2:] if not one.startswith("hydra.sweep.dir=") and one != both]
        assert len(sweep) == len(train) - 4
        # Of few tokens most texts share a fifth: several replacements a position find alternatives for two trials.
        for objective in (("objective=unlearn_unbounded",), ("objective=edit", "objective.replacements=8")):
            ended = command_runs.run("train", *STAND_IN, *objective, *sweep, directory=folder / "unlearning", where="sweep")
            assert ended.code == 0, ended.err

    return once("paper", make)


def test_the_target_leads_to_the_folders_that_the_page_reads():
    localize, train, page = recipe()
    assert "hydra.run.dir=outputs/paper/localization" in localize and "hydra.sweep.dir=outputs/paper/unlearning" in train
    assert page == ["-m", "memunlearn.reporting", "--paper", "outputs/paper"]


@pytest.mark.slow
def test_the_page_has_every_claim_that_something_bears_on(paper, capsys):
    assert main(["--paper", str(paper)]) == 0
    assert f"wrote {paper / 'paper.html'}" in capsys.readouterr().out
    page = (paper / "paper.html").read_text()
    for name in ("em_nll", "attention_heads", "unlearning"):
        assert CLAIMS[name] in page.replace("&#39;", "'"), name
    assert CLAIMS["weight_noise"] not in page
    assert "no evidence about where larger models" in page
    assert "Unlearn versus edit (gradient): at the end of the runs, forget EM" in page
    drawn = {path.stem for path in (paper / "figures").glob("unlearning_*.png")}
    assert {"unlearning_forget", "unlearning_retain"} <= drawn


@pytest.mark.slow
def test_the_sweep_is_the_papers_comparison(paper):
    jobs = [command_runs.read_result(folder) for folder in sorted((paper / "unlearning").iterdir()) if folder.name.isdigit()]
    assert len(jobs) == 12
    masks = {job["config"]["mask"]["_target_"].rpartition(".")[2] for job in jobs}
    assert masks == {"AllWeights", "TopAttribution", "RandomWeights"}
    assert {job["config"]["paragraphs"]["forget_text"] for job in jobs} == {"memorized", "own"}
    assert all(job["config"]["optimizer"]["lr"] == 1e-5 and job["stopped_because"] == "max_steps" for job in jobs)


def test_without_the_analyses_it_says_what_to_run(tmp_path, capsys):
    assert main(["--paper", str(tmp_path)]) == 2
    assert "make paper" in capsys.readouterr().err
