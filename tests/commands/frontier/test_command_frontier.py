"""`train.py experiment=frontier`: rounds that depend on results, on the tiny demo and with jobs that only pretend."""

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import command_runs
import fake_frontiers
import pytest
from filelock import FileLock

from memunlearn.sweeps.frontier.content import content_of
from memunlearn.sweeps.frontier.plan import read_plan, write_plan

FEW = (
    "hydra.sweeper.tuning_seeds=[0]",
    "hydra.sweeper.confirmation_seeds=[5]",
    "hydra.sweeper.factors=[0.5,1]",
    "hydra.sweeper.best_with_masks=1",
    "hydra.sweeper.best_confirmed=1",
    "hydra.sweeper.only=[unlearn_adam,undial_adam]",
    "~hydra.sweeper.masks.top_5_percent",
    "~hydra.sweeper.masks.random_1_percent",
    "hydra.callbacks.watch_jobs.summary=false",  # only the sweeper's own, at the end
)
# How much a job of each kind forgets of what it could.
GOOD = {"Undial": 0.9, "Unlearn": 0.5}


class Pretended:
    """In place of a run: writes what a run with these settings is said to reach, and remembers the settings."""

    def __init__(self, fail=()):
        self.done = []
        self.fail = fail

    def __call__(self, cfg):
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import OmegaConf

        objective, weight = cfg.objective._target_.rpartition(".")[2], cfg.objective.forget_weight
        mask = cfg.mask._target_.rpartition(".")[2] + (" mlps" if cfg.mask.components else "")
        self.done.append((objective, round(weight, 3), mask, cfg.mask.fraction, cfg.seed))
        if len(self.done) - 1 in self.fail:
            raise RuntimeError("the disk is full")
        share = GOOD[objective] * (0.9 if weight > 0.06 else 1.0) * (1.0 if mask == "AllWeights" else 0.7)
        checks = [(5, 50 * (1 - share), 50 * (1 - share), 0.05, 48.0), (10, 2.0, 4.0, 0.4, 20.0)]
        folder = Path(HydraConfig.get().runtime.output_dir)
        fake_frontiers.write_run(folder, checks, seed=cfg.seed)
        result = json.loads((folder / "result.json").read_text())
        (folder / "result.json").write_text(json.dumps(result | {"config": OmegaConf.to_container(cfg, resolve=True)}))


def start(task, directory, *overrides):
    """As a user does, without -m."""
    arguments = ("experiment=frontier", *overrides, f"hydra.sweep.dir={directory}")
    return command_runs.run_task(task, "train", *arguments, directory=directory.parent / "unused")


@pytest.fixture
def finished(once, tmp_path):
    """A folder of the test's own with a whole frontier in it."""
    whole = once("frontier", lambda folder: start(Pretended(), folder / "sweep", *FEW)) / "sweep"
    return shutil.copytree(whole, tmp_path / "finished" / "sweep")


def test_rounds_are_chosen_by_what_was_found(tmp_path):
    task = Pretended()
    ended = start(task, tmp_path / "sweep", *FEW)
    assert ended.code == 0, ended.err
    tuning, masks, confirmation = task.done[:4], task.done[4:6], task.done[6:]
    assert tuning == [
        ("Unlearn", 0.05, "AllWeights", None, 0),
        ("Unlearn", 0.1, "AllWeights", None, 0),
        ("Undial", 0.05, "AllWeights", None, 0),
        ("Undial", 0.1, "AllWeights", None, 0),
    ]
    assert masks == [
        ("Undial", 0.05, "TopAttribution", 0.01, 0),
        ("Undial", 0.05, "AllWeights mlps", None, 0),
    ]
    assert confirmation == [("Undial", 0.05, "AllWeights", None, 5), ("Unlearn", 0.1, "TopAttribution", 0.05, 5)]
    assert "frontier: 4 jobs of tuning, then 2 jobs of masks, then 2 jobs of confirmation; 8 jobs in all" in ended.out
    assert ended.out.count("the first job took") == 1 and "for the other 7" in ended.out
    plan = read_plan(tmp_path / "sweep")
    assert [job.folder for job in plan.jobs] == [str(number) for number in range(8)] and plan.later == {}
    assert "8 of 8 jobs finished." in (tmp_path / "sweep" / "frontier.md").read_text()
    assert not (tmp_path / "sweep" / "sweep.html").exists() and not (tmp_path / "unused").exists()


@pytest.mark.slow
def test_run_again_with_another_seed_only_that_one_is_done(finished):
    more = Pretended()
    ended = start(more, finished, *FEW, "hydra.sweeper.confirmation_seeds=[5,6]")
    assert ended.code == 0 and [job[-1] for job in more.done] == [6, 6]
    assert "4 jobs, 4 of them done already" in ended.out and "4 jobs, 2 of them done already" in ended.out


@pytest.mark.slow
def test_time_is_estimated_by_a_job_that_takes_some(finished):
    path = finished / "0" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"stopped_because": "nan"}))
    more = Pretended()
    ended = start(more, finished, *FEW, "hydra.sweeper.confirmation_seeds=[5,6]")
    assert ended.code == 0 and [job[-1] for job in more.done] == [0, 6, 6]  # one that diverged says so again
    assert ended.out.count("the first job took") == 1 and "for the other 1," in ended.out


@pytest.mark.slow
def test_another_process_s_job_is_not_waited_for_before_all_others(finished):
    for number in ("0", "1"):
        (finished / number / "result.json").unlink()
    lock = FileLock(finished / "0" / ".lock", thread_local=False)
    lock.acquire()
    late = threading.Timer(60, lock.release)
    late.start()

    class Frees(Pretended):
        def __call__(self, cfg):
            super().__call__(cfg)
            lock.release()

    task = Frees()
    assert start(task, finished, *FEW).code == 0
    late.cancel()
    assert [job[1] for job in task.done] == [0.1, 0.05]


@pytest.mark.slow
def test_interrupted_and_run_again_it_is_the_same_page(tmp_path, finished):
    class Stopped(Pretended):
        def __call__(self, cfg):
            if len(self.done) == 5:
                raise KeyboardInterrupt
            super().__call__(cfg)

    broken = tmp_path / "broken" / "sweep"
    with pytest.raises(KeyboardInterrupt):
        start(Stopped(), broken, *FEW)
    assert content_of(broken).progress == "5 of 8 jobs finished; still to come: confirmation."
    rest = Pretended()
    assert start(rest, broken, *FEW).code == 0 and len(rest.done) == 3
    for name in ("frontier.html", "frontier.md"):
        assert (broken / name).read_text() == (finished / name).read_text()


@pytest.mark.slow
def test_a_job_that_fails_leaves_the_others_alone_and_is_told(tmp_path):
    task = Pretended(fail=(2, 5))
    ended = start(task, tmp_path, *FEW)
    assert ended.code == 1 and len(task.done) == 8 and "2 jobs of the sweep failed" in ended.err
    text = (tmp_path / "frontier.md").read_text()
    assert "6 of 8 jobs finished, 2 failed." in text and text.count("the disk is full") == 2
    assert [job[:2] for job in task.done[4:6]] == [("Undial", 0.1)] * 2  # the strength that failed is not chosen


@pytest.mark.slow
def test_the_best_of_a_finished_frontier_are_run_elsewhere(tmp_path, finished):
    task = Pretended()
    settings = ("experiment=frontier_elsewhere", f"hydra.sweeper.best_of={finished}", "batch_size=8", FEW[-1])
    ended = command_runs.run_task(
        task, "train", *settings, f"hydra.sweep.dir={tmp_path / 'new'}", directory=tmp_path / "unused"
    )
    assert ended.code == 0, ended.err
    assert task.done == [
        *(("Undial", 0.05, "AllWeights", None, seed) for seed in (2, 3)),
        *(("Unlearn", 0.05, "AllWeights", None, seed) for seed in (2, 3)),
        *(("Unlearn", 0.1, "TopAttribution", 0.05, seed) for seed in (2, 3)),
    ]
    assert "frontier: 6 jobs of confirmation; 6 jobs in all" in ended.out
    assert "tuning budget" not in (tmp_path / "new" / "frontier.md").read_text()


@pytest.mark.slow
def test_elsewhere_is_another_folder(finished):
    plan = (finished / "frontier.json").read_text()
    settings = ("experiment=frontier_elsewhere", f"hydra.sweeper.best_of={finished}", f"hydra.sweep.dir={finished}")
    ended = command_runs.run_task(Pretended(), "train", *settings, directory=finished.parent / "unused")
    assert "is hydra.sweep.dir, too" in ended.the_error() and (finished / "frontier.json").read_text() == plan


def test_elsewhere_needs_a_frontier_that_is_tuned(tmp_path):
    fake_frontiers.write_frontier(tmp_path / "half", later=("masks", "confirmation"))
    for folder, said in (
        ("", "best_of is empty"),
        (tmp_path / "none", "frontier.json"),
        (tmp_path / "half", "not all tuned yet"),
    ):
        settings = ("experiment=frontier_elsewhere", f"hydra.sweeper.best_of={folder}")
        ended = command_runs.run_task(Pretended(), "train", *settings, directory=tmp_path / "new", where="sweep")
        assert said in ended.the_error()


def test_a_dry_run_shows_the_jobs_and_leaves_nothing(tmp_path):
    task = Pretended()
    ended = start(task, tmp_path / "sweep", *FEW, "hydra.sweeper.dry_run=true")
    assert ended.code == 0 and task.done == [] and not (tmp_path / "sweep").exists()
    assert "objective=undial optimizer=adam objective.forget_weight=0.1 seed=0" in ended.out and "8 jobs in all" in ended.out


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optimizer.lr=0.1,0.2", "a frontier chooses its jobs itself"),
        ("seed=3", "give hydra.sweeper.tuning_seeds"),
        ("hydra.sweeper.factors=[low]", "hydra.sweeper.factors.0=low"),
        ('+hydra.sweeper.methods.mine=["objective=nothing"]', "nothing"),
        ('+hydra.sweeper.masks.mine=["mask=nothing"]', "nothing"),
        ('+hydra.sweeper.references.mine=["mask.size=3"]', "size"),
        ('+hydra.sweeper.strengths.unlearn_adam=["x.y=1","x.y=2"]', "x"),
        ("mask=gradient", "mask=gradient: every method of this frontier has a mask of its own (mask=all)"),
        ("objective=npo", "every method of this frontier has a objective of its own"),
        ("resume=true", "resume=true is for a single run"),
        ("overwrite=true", "overwrite=true: a frontier goes on with what is finished"),
        ('+hydra.sweeper.masks.mine=["mask=random","mask.fraction=2"]', "mask.fraction"),
        ('+hydra.sweeper.references.mine=["protocol=zeroing"]', "mine of this frontier: protocol=zeroing ends by itself"),
    ],
)
def test_a_mistake_is_one_line_before_any_job(tmp_path, override, said):
    task = Pretended()
    few = [one.replace("unlearn_adam,undial_adam", "mine") if "methods" in override else one for one in FEW]
    ended = start(task, tmp_path / "sweep", *few, override)
    assert said in ended.the_error() and task.done == []


def test_what_stands_for_some_methods_may_be_given_for_the_others(tmp_path):
    task = Pretended()
    own = '+hydra.sweeper.strengths.unlearn_adam=["objective.forget_weight=0.2","optimizer.lr=0.001"]'
    settings = ("optimizer.lr=0.002", "mask=all", "objective.forget_weight=0.3", "hydra.sweeper.dry_run=true")
    ended = start(task, tmp_path / "sweep", *FEW, own, *settings)
    assert ended.code == 0, ended.err
    assert "objective.forget_weight=0.15" in ended.out and "objective.forget_weight=0.3" in ended.out


def test_a_method_without_a_stop_rule_says_so_and_is_run(tmp_path):
    few = [one for one in FEW if "only" not in one]
    zeroing = (
        '+hydra.sweeper.methods.zeroing=["protocol=zeroing","stop=none"]',
        '+hydra.sweeper.strengths.zeroing=["protocol.scale=0.5","protocol.scale=1"]',
        "hydra.sweeper.own_weights=[zeroing]",
        "hydra.sweeper.only=[zeroing]",
        "hydra.sweeper.dry_run=true",
    )
    ended = start(Pretended(), tmp_path / "sweep", *few, *zeroing)
    assert ended.code == 0 and "protocol=zeroing stop=none protocol.scale=0.5 seed=0" in ended.out, ended.err


def test_a_frontier_that_tuned_nothing_has_no_best(tmp_path):
    sweep = fake_frontiers.write_frontier(tmp_path / "whole")
    plan = read_plan(sweep)
    write_plan(sweep, replace(plan, jobs=tuple(job for job in plan.jobs if job.round == "confirmation")))
    settings = ("experiment=frontier_elsewhere", f"hydra.sweeper.best_of={sweep}")
    ended = command_runs.run_task(Pretended(), "train", *settings, directory=tmp_path / "new", where="sweep")
    assert "has tuned no method" in ended.the_error()


@pytest.mark.slow
def test_a_frontier_of_the_tiny_demo(tmp_path, tiny_cache):
    """Real runs: two methods at two strengths, masks, confirmation."""
    settings = (
        "stop.every=2",
        "stop.max_steps=4",
        "batch_size=4",
        "trainer.accelerator=cpu",
        *command_runs.tiny_demo.OVERRIDES,
    )
    targets = "hydra.sweeper.targets=[{forget_em:8,longest_run:9}]"
    ended = command_runs.run("train", "experiment=frontier", *FEW[:-1], *settings, targets, directory=tmp_path, where="sweep")
    assert ended.code == 0, ended.err
    text = (tmp_path / "frontier.md").read_text()
    assert "8 of 8 jobs finished." in text and "## Remarks" not in text
    assert "At forget EM at most 8 and longest run at most 9, " in text and (tmp_path / "figures" / "frontier.png").is_file()
    for job in read_plan(tmp_path).jobs:
        config = command_runs.read_result(tmp_path / job.folder)["config"]
        assert (config["seed"], config["stop"]["longest_run"], config["stop"]["min_bystander_em"]) == (job.seed, 5.0, 0.0)
        assert (config["objective"]["_target_"].endswith("Undial")) == (job.candidate.method == "undial_adam")
