"""How a job that ran elsewhere is told to have ended, and what the configs of the launchers say."""

import json
import sys
from types import SimpleNamespace

import command_runs
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from memunlearn.commands import sweep_launcher
from memunlearn.commands.sweep_launcher import SUBMITIT, Job
from memunlearn.errors import UserError

submitit = pytest.importorskip("submitit")
pytest.importorskip(SUBMITIT.partition(".submitit_launcher")[0])

from submitit.core.utils import JobPaths, cloudpickle_dump  # noqa: E402

from memunlearn.commands import cluster_launcher  # noqa: E402


class Odd(Exception):
    """Pickles, and does not unpickle."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def launcher_config(*overrides):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(command_runs.CONF), version_base="1.3"):
        return compose("train", overrides=list(overrides), return_hydra_config=True).hydra.launcher


@pytest.fixture
def sent(tmp_path):
    """sent(outcome): a job of submitit's whose result is this; without one, None."""

    def sent(outcome):
        paths = JobPaths(tmp_path / ".submitit" / "%j", job_id="17_3")
        paths.folder.mkdir(parents=True)
        paths.submitted_pickle.write_text("with a password")
        if outcome is not None:
            cloudpickle_dump(outcome, paths.result_pickle)
        return SimpleNamespace(paths=paths)

    return sent


@pytest.fixture
def job(tmp_path):
    (tmp_path / "3").mkdir()
    hydra = {"job": {"num": 3}, "overrides": {"task": ["seed=1"]}}
    return Job(3, ["seed=1"], OmegaConf.create({"seed": 1, "hydra": hydra}), tmp_path / "3")


def test_a_job_that_succeeded_brings_what_it_returned(job, sent, capsys):
    one = sent(("success", JobReturn(status=JobStatus.COMPLETED, overrides=["seed=1"])))
    one_returned = cluster_launcher._ended(job, one)
    assert one_returned.status == JobStatus.COMPLETED and one_returned.overrides == ["seed=1"]
    assert capsys.readouterr().out == f"done: job 3, in {job.folder}\n"
    assert not list(one.paths.folder.iterdir()) and not list(job.folder.iterdir())


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [(UserError("mend this"), UserError, "mend this"), (Odd("this", "that"), RuntimeError, "Odd('this and that')")],
)
def test_a_job_that_failed_says_why_in_one_line_whatever_was_raised(job, sent, capsys, error, kind, said):
    failed = JobReturn(status=JobStatus.FAILED)
    failed._return_value = error
    ended = cluster_launcher._ended(job, sent(("success", cluster_launcher._as_it_travels(failed))))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"job 3 failed: {said} (its log: ") and line.endswith("17_3_0_log.err)")
    with pytest.raises(kind) as raised:
        _ = ended.return_value
    assert str(raised.value) == said
    assert not list(job.folder.iterdir())  # there the job itself has kept why


@pytest.mark.parametrize(
    ("outcome", "kind", "said"),
    [
        (None, UserError, "it ended without a result"),
        (
            ("error", "Traceback ...\n  here\nUncompletedJobError: timed-out too many times"),
            RuntimeError,
            "UncompletedJobError: timed",
        ),
    ],
)
def test_why_a_job_did_not_end_by_itself_is_kept_in_its_folder(job, sent, capsys, outcome, kind, said):
    one = sent(outcome)
    ended = cluster_launcher._ended(job, one)
    kept = json.loads((job.folder / "error.json").read_text())
    assert ended.status == JobStatus.FAILED and kept["error"].startswith(said if kind is UserError else "RuntimeError('Unc")
    assert kept["mistake"] == (kind is UserError) and kept["overrides"] == ["seed=1"] and kept["config"] == {"seed": 1}
    assert capsys.readouterr().err.startswith("job 3 failed: ") and not list(one.paths.folder.iterdir())
    with pytest.raises(kind, match=said):
        _ = ended.return_value


def test_the_launchers_take_the_place_of_the_plugins():
    sweep_launcher.register()
    known = Plugins.instance().class_name_to_class
    targets = [launcher_config(f"hydra/launcher={name}")._target_ for name in ("slurm", "slurm_local")]
    assert [known[target] for target in targets] == [cluster_launcher.InSlurm, cluster_launcher.InProcesses]


def test_what_a_cluster_wants_can_be_set():
    launcher = launcher_config(
        "hydra/launcher=slurm",
        "hydra.launcher.partition=gpu",
        "hydra.launcher.gpus_per_node=1",
        "hydra.launcher.setup=[module load cuda]",
        "+hydra.launcher.additional_parameters.reservation=mine",
    )
    assert launcher.additional_parameters == {"requeue": True, "reservation": "mine"} and launcher.partition == "gpu"
    assert launcher.max_num_timeout == 10 and launcher.setup == ["module load cuda"]


def test_where_nothing_can_be_sent_the_line_says_so_and_no_job_has_begun(tmp_path, monkeypatch):
    """No srun on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = command_runs.train("hydra/launcher=slurm", "seed=0,1", directory=tmp_path / "sweep", where="sweep")
    assert "hydra/launcher: the jobs could not be sent (" in ended.the_error() and "docs/slurm.md" in ended.the_error()
    assert not list(tmp_path.rglob("error.json")) and not list(tmp_path.rglob("checkpoints"))


def test_without_the_extra_the_line_says_what_to_install(tmp_path, monkeypatch):
    """Where it is installed, what Hydra has found of it is taken away."""
    plugins = Plugins.instance()
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], "submitit_slurm.yaml")
    for name in ("SlurmLauncher", "LocalLauncher"):
        monkeypatch.delitem(plugins.class_name_to_class, f"{SUBMITIT}.{name}")
    monkeypatch.delitem(sys.modules, SUBMITIT.rpartition(".")[0])
    for name in ("slurm", "slurm_local"):
        ended = command_runs.train(f"hydra/launcher={name}", "seed=0,1", directory=tmp_path, where="sweep")
        assert "pip install 'memunlearn[slurm]'" in ended.the_error()
