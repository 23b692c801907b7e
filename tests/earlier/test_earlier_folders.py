"""What version 39d8d5a has left still works: `folders/`, made by make_folders.py."""

import json
import shutil
from pathlib import Path

import command_runs
import make_folders
import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from memunlearn.commands.configs import compose
from memunlearn.commands.sweep_folder import content
from memunlearn.results.curve import read_curve
from memunlearn.results.old_names import name_today
from memunlearn.sweeps.runs import read_sweep
from memunlearn.sweeps.settings import settings_of

FOLDERS = Path(__file__).parent / "folders"
THEN = ("experiment=contrastive",)  # what was the default method
# Every class that its conf/ named.
CLASSES = """
memunlearn.analyses.activation_gradients.ActivationGradients memunlearn.analyses.activation_patching.ActivationPatching
memunlearn.analyses.attention_heads.AttentionHeads memunlearn.analyses.em_nll.EMNLL
memunlearn.analyses.known_answer.KnownAnswer memunlearn.analyses.parameter_gradients.ParameterGradients
memunlearn.analyses.token_perturbation.TokenPerturbation memunlearn.analyses.weight_noise.WeightNoise
memunlearn.commands.search.study_storage memunlearn.commands.sweep_watch.WatchJobs memunlearn.demo.model.Demo
memunlearn.demo.model.DemoModelSource memunlearn.demo.model.DemoSource
memunlearn.localization.weight_attribution.Contrastive memunlearn.localization.weight_attribution.Fisher
memunlearn.localization.weight_attribution.Gradient memunlearn.localization.weight_attribution.GradientTimesWeight
memunlearn.masks.AllWeights memunlearn.masks.RandomWeights memunlearn.masks.TopAttribution memunlearn.models.ModelSource
memunlearn.objectives.contrastive.Edit memunlearn.objectives.contrastive.Unlearn memunlearn.paragraphs.sources.FileSource
memunlearn.paragraphs.sources.HubSource memunlearn.paragraphs.sources.LMExtractionSource
memunlearn.paragraphs.sources.PileSource memunlearn.unlearning.joint.Joint
memunlearn.unlearning.per_paragraph.PerParagraph memunlearn.unlearning.stopping.StopRule
""".split()


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A copy of the folders, which is where commands run: their configs name everything by relative paths."""
    shutil.copytree(FOLDERS, tmp_path / "there")
    monkeypatch.chdir(tmp_path / "there")
    return tmp_path / "there"


def config_of(folder):
    return json.loads((FOLDERS / folder / "result.json").read_text())["config"]


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_that_a_config_named_is_found(name):
    assert callable(get_object(name_today(name)))


@pytest.mark.parametrize(
    ("folder", "overrides"),
    [
        ("run", make_folders.RUN),
        ("sweep/0", (*make_folders.RUN, "mask=gradient")),
        ("sweep/1", (*make_folders.RUN, "mask=random")),
        ("trials", make_folders.TRIALS),
    ],
)
def test_a_config_of_then_is_what_the_same_command_composes_today(folder, overrides):
    composed = OmegaConf.to_container(compose("train", *THEN, *overrides), resolve=True)
    assert content(config_of(folder)) == content(composed)
    assert content(config_of(folder)) != content({**composed, "seed": 1})


def test_a_finished_run_is_not_done_again(there):
    before = (there / "run" / "result.json").read_bytes()
    ended = command_runs.run("train", *THEN, *make_folders.RUN, directory="run")
    assert ended.code == 0 and "complete already" in ended.out, ended.err
    assert (there / "run" / "result.json").read_bytes() == before
    other = command_runs.run("train", *THEN, *make_folders.RUN, "optimizer.lr=0.02", directory="run")
    assert "(optimizer.lr)" in other.the_error()


def test_the_jobs_of_a_finished_sweep_are_skipped_and_one_more_is_run(there):
    more = [one.replace("gradient,random", "gradient,random,all") for one in make_folders.SWEEP]
    ended = command_runs.run("train", *THEN, *more, directory="sweep", where="sweep")
    assert ended.code == 0 and ended.out.count("skipped: this job is complete") == 2, ended.err
    assert sorted(path.parent.name for path in (there / "sweep").glob("*/result.json")) == ["0", "1", "2"]
    runs = read_sweep(there / "sweep")
    # Old and new runs differ in what was swept, and in nothing that was renamed or added since.
    assert [setting.label for setting in settings_of(runs)] == ["gradient", "random", "all"]


def test_a_patch_is_judged(there):
    ended = command_runs.run("evaluate", "patch=run/patch.safetensors", "accelerator=cpu", directory="judged")
    assert ended.code == 0, ended.err
    judged = command_runs.read_result(there / "judged", "evaluation.json")["sets"]
    after = json.loads((there / "run" / "result.json").read_text())["after"]
    # Its rows are found by their files, since patches did not hold roles yet; how the rest is split has changed since.
    assert "this patch does not say which rows played which role" in ended.out
    assert judged["forget"]["n"] == after["forget"]["n"] == 6
    for key in ("em", "longest_run", "nll", "kl"):
        assert judged["forget"][key] == pytest.approx(after["forget"][key], abs=1e-4), key


@pytest.mark.slow
def test_an_interrupted_run_goes_on(there):
    ended = command_runs.run("train", "resume=true", directory="interrupted")
    assert ended.code == 0, ended.err
    result = command_runs.read_result(there / "interrupted")
    assert result["steps"] == 300 and result["stopped_because"] == "max_steps"
    assert "mask_scope" not in result["config"]["protocol"] and result["config"]["optimizer"]["lr"] == 1e-7
    curve = read_curve(there / "interrupted" / "metrics.csv")
    assert [row["step"] for row in curve if "train/loss" in row] == list(range(300))
    assert [row["step"] for row in curve if "check/forget_em" in row] == [1, *range(5, 301, 5)]


@pytest.mark.slow
def test_pages_are_written_again(there):
    for folder in ("run", "sweep"):
        ended = command_runs.real("-m", "memunlearn.reporting", there / folder)
        assert ended.code == 0, ended.err
    assert "Training stopped after 4 steps" in (there / "run" / "report.html").read_text()
    assert (there / "sweep" / "sweep.html").is_file()


def test_the_folders_are_small():
    assert sum(path.stat().st_size for path in FOLDERS.rglob("*") if path.is_file()) < 200_000
