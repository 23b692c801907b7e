"""`train.py -m hydra/sweeper=optuna`: two objectives, a study that outlives failures and restarts."""

import subprocess
import sys
import time

import command_runs
import pytest
import yaml
from hydra.core.config_store import ConfigStore

from memunlearn.commands.search import objectives
from memunlearn.errors import UserError

SPACE = {"objective.forget_weight", "objective.retain_weight", "optimizer.relative_norm", "optimizer.damping"}
METHOD = ("objective=demote", "mask=all", "optimizer=kfac")


def search(*overrides, directory):
    """Of the default method, unless another is chosen."""
    chosen = {override.partition("=")[0] for override in overrides}
    settings = command_runs.training(*(one for one in METHOD if one.partition("=")[0] not in chosen), *overrides)
    return command_runs.run("train", "hydra/sweeper=optuna", *settings, directory=directory, where="sweep")


def trials(directory):
    import optuna

    study = optuna.load_study(study_name="memunlearn", storage=f"sqlite:///{directory}/optuna.db")
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
    return study.trials


def job_folders(directory):
    return sorted(path.parent for path in directory.glob("*/result.json"))


@pytest.fixture
def searched(once):
    """Two trials of a few steps."""
    pytest.importorskip("optuna")

    def make(folder):
        ended = search(
            "optimizer.relative_norm=interval(0.01,0.1)", "stop.max_steps=6", "hydra.sweeper.n_trials=2", directory=folder
        )
        assert ended.code == 0, ended.err

    return once("search", make)


def test_a_trial_is_judged_by_forget_em_and_retain_val_kl_of_the_kept_state(searched):
    results = [command_runs.read_result(folder) for folder in job_folders(searched)]
    told = [tuple(trial.values) for trial in trials(searched)]
    assert told == [(result["kept_check"]["forget_em"], result["kept_check"]["retain_val_kl"]) for result in results]
    assert told == [objectives(result) for result in results] and len(set(told)) == 2


def test_the_search_space_reaches_the_runs(searched):
    for trial, folder in zip(trials(searched), job_folders(searched), strict=True):
        config = command_runs.read_result(folder)["config"]
        assert set(trial.params) == SPACE
        for name, value in trial.params.items():
            group, key = name.split(".")
            assert config[group][key] == value
    assert len({trial.params["optimizer.relative_norm"] for trial in trials(searched)}) == 2


def test_another_method_is_searched_in_its_own_settings(tmp_path):
    """As docs/sweeps.md says."""
    pytest.importorskip("optuna")
    own = ("optimizer.lr=tag(log,interval(1e-3,1e-2))", "objective.forget_weight=tag(log,interval(0.1,1))", "mask=all,random")
    settings = ("hydra.sweeper.params=null", "objective=unlearn", "optimizer=adam", *own)
    ended = search(*settings, "stop.max_steps=1", "hydra.sweeper.n_trials=1", directory=tmp_path)
    assert ended.code == 0, ended.err
    (trial,) = trials(tmp_path)
    assert set(trial.params) == {"optimizer.lr", "objective.forget_weight", "mask"}


def test_settings_that_the_method_does_not_have_are_refused_with_the_way_out(tmp_path):
    ended = command_runs.run("train", "hydra/sweeper=optuna", "experiment=contrastive", directory=tmp_path, where="sweep")
    line = ended.the_error()
    assert "optimizer.relative_norm: the optimizer that is chosen has no relative_norm" in line
    assert "hydra.sweeper.params=null" in line


def test_the_best_compromises_are_written_down(searched):
    best = yaml.safe_load((searched / "optimization_results.yaml").read_text())["solutions"]
    values = [trial.values for trial in trials(searched)]
    front = [a for a in values if not any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in values)]
    assert sorted(one["values"] for one in best) == sorted(front)


@pytest.mark.slow
def test_a_trial_that_fails_is_recorded_and_the_search_goes_on_and_later_goes_on_again(tmp_path):
    pytest.importorskip("optuna")
    failing = ("stop.max_steps=1", "hydra/sweeper/sampler=random")
    ended = search(*failing, "optimizer.relative_norm=choice(-1,1e-3)", "hydra.sweeper.n_trials=5", directory=tmp_path)
    assert "optimizer.max_kl=0.005 and optimizer.relative_norm=-1" in ended.err and "Traceback" not in ended.err
    first = trials(tmp_path)
    states = {(float(trial.params["optimizer.relative_norm"]), trial.state.name) for trial in first}
    assert states == {(-1.0, "FAIL"), (0.001, "COMPLETE")} and len(first) == 5
    search(*failing, "optimizer.relative_norm=choice(-1,1e-3)", "hydra.sweeper.n_trials=1", directory=tmp_path)
    assert len(trials(tmp_path)) == 6


def test_the_same_seed_begins_with_the_same_proposals(tmp_path, searched):
    first = trials(searched)[0].params
    for seed in (0, 1):
        settings = ("optimizer.relative_norm=interval(0.01,0.1)", "stop.max_steps=1", "hydra.sweeper.n_trials=1")
        assert search(*settings, f"hydra.sweeper.sampler.seed={seed}", directory=tmp_path / str(seed)).code == 0
        assert (trials(tmp_path / str(seed))[0].params == first) == (seed == 0)


@pytest.mark.slow
def test_processes_share_a_database_whose_url_is_in_no_folder(tmp_path, tiny_cache):
    """The URL comes from the environment, as docs/sweeps.md says."""
    pytest.importorskip("optuna")
    url = f"sqlite:///{tmp_path}/shared.db"
    settings = command_runs.training(*METHOD, "stop.max_steps=1")
    shared = ("-m", "hydra/sweeper=optuna", "hydra.sweeper.storage.url=${oc.env:STUDY_URL}", "hydra.sweeper.n_trials=2")
    running = []
    for seed in (1, 2):
        own = (f"hydra.sweeper.sampler.seed={seed}", f"hydra.sweep.dir={tmp_path}/sweep{seed}")
        line = command_runs.command("train.py", *shared, *settings, *own)
        variables = command_runs.process_environment(STUDY_URL=url)
        running.append(subprocess.Popen(line, env=variables, cwd=command_runs.ROOT, stdout=subprocess.DEVNULL))
        if seed == 1:
            waiting_for(lambda: (tmp_path / "sweep1" / "0").is_dir() or running[0].poll() is not None)
    assert [process.wait() for process in running] == [0, 0]
    import optuna

    found = optuna.load_study(study_name="memunlearn", storage=url).trials
    assert [trial.state.name for trial in found] == ["COMPLETE"] * 4 and len(
        {trial.params["optimizer.relative_norm"] for trial in found}
    ) == 4
    written = [path for seed in (1, 2) for path in (tmp_path / f"sweep{seed}").rglob("*") if path.is_file()]
    assert written and not any(b"shared.db" in path.read_bytes() for path in written)


def waiting_for(done):
    deadline = time.monotonic() + 120
    while not done() and time.monotonic() < deadline:
        time.sleep(0.1)


def test_one_paragraph_at_a_time_has_no_state_to_judge(tmp_path):
    pytest.importorskip("optuna")
    ended = search("protocol=per_paragraph", "stop=none", "hydra.sweeper.n_trials=1", directory=tmp_path)
    assert "protocol=joint" in ended.err and "Traceback" not in ended.err and not job_folders(tmp_path)


@pytest.mark.parametrize(
    "url", ["postgresql://someone:secret@127.0.0.1:1/none", "nonsense:secret", "sqlite:////proc/secret/x.db"]
)
def test_a_database_that_cannot_be_opened_is_told_without_its_url(tmp_path, url):
    pytest.importorskip("optuna")
    line = search(f"hydra.sweeper.storage.url='{url}'", directory=tmp_path).the_error()
    assert "hydra.sweeper.storage.url" in line and "secret" not in line


def test_without_the_extra_the_line_says_what_to_install(tmp_path, monkeypatch):
    """Where it is installed, what Hydra has found of it is taken away."""
    from hydra.core.plugins import Plugins

    Plugins.instance()  # scans for plugins, once in a process
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["sweeper"], "optuna.yaml", raising=False)
    monkeypatch.delitem(sys.modules, "hydra_plugins.hydra_optuna_sweeper", raising=False)
    assert "pip install 'memunlearn[optuna]'" in search(directory=tmp_path).the_error()
    assert "pip install 'memunlearn[optuna]'" in search("hydra/sweeper/sampler=nsgaii", directory=tmp_path).the_error()


def test_numbers_that_are_none_are_no_objectives():
    assert objectives({"kept_check": None}) is None and objectives({}) is None
    for kl in (float("nan"), float("inf"), None):
        with pytest.raises(UserError, match="retain_val KL"):
            objectives({"kept_check": {"forget_em": 1.0, "retain_val_kl": kl}})
