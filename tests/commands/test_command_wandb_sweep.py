"""sweeps/wandb.yaml: the command that a W&B agent makes of it, without a server."""

import os
import subprocess
import sys
from pathlib import Path

import command_runs
import offline_records
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

FILE = command_runs.ROOT / "sweeps" / "wandb.yaml"


@pytest.fixture
def sweep():
    from wandb.sdk.launch.sweeps.utils import load_sweep_config

    return load_sweep_config(str(FILE))


@pytest.fixture
def made_by_the_agent(sweep, tmp_path, monkeypatch):
    """made_by_the_agent(arguments): the command line and the environment that W&B's own agent would start."""
    from wandb import wandb_agent

    started = []
    monkeypatch.setattr(wandb_agent, "AgentProcess", lambda **given: started.append(given) or type("Process", (), {})())
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep123")
    monkeypatch.setenv("WANDB_RUN_ID", "")  # the agent sets it: here, so that it is gone afterwards
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", "")
    monkeypatch.chdir(tmp_path)

    def make(arguments):
        agent = wandb_agent.Agent.__new__(wandb_agent.Agent)
        agent.__dict__ |= {"_sweep_command": list(sweep["command"]), "_function": None, "_in_jupyter": False}
        agent.__dict__ |= {"_forward_signals": False, "_run_processes": {}}
        args = {name: {"value": value} for name, value in arguments.items()}
        agent._command_run({"run_id": "run456", "program": str(command_runs.ROOT / sweep["program"]), "args": args})
        return started[-1]["command"], started[-1]["env"]

    return make


def values(parameter):
    return parameter["values"] if "values" in parameter else [parameter["min"], parameter["max"]]


def test_the_file_says_what_wandb_wants_to_know(sweep):
    assert (command_runs.ROOT / sweep["program"]).is_file() and sweep["method"] == "random" and sweep["run_cap"] > 0
    for parameter in sweep["parameters"].values():
        assert len(set(values(parameter))) > 1 and parameter.get("distribution", "log_uniform_values") == "log_uniform_values"
    assert sweep["metric"] == {"name": "kept_check/forget_em", "goal": "minimize"}


def test_every_value_composes(sweep, made_by_the_agent):
    most = max(len(values(parameter)) for parameter in sweep["parameters"].values())
    for turn in range(most):
        arguments = {name: values(parameter)[turn % len(values(parameter))] for name, parameter in sweep["parameters"].items()}
        command, environment = made_by_the_agent(arguments)
        program = command.index(str(command_runs.ROOT / "train.py"))
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(command_runs.CONF), version_base="1.3"):
            cfg = compose("train", overrides=[one for one in command[program + 1 :] if not one.startswith("hydra.")])
        assert cfg.logger._target_.endswith("WandbLogger") and environment["WANDB_RUN_ID"] == "run456"
        for name, value in arguments.items():
            group, _, key = name.partition(".")
            assert value == (cfg[group][key] if key else cfg[group])


@pytest.mark.slow
def test_the_command_runs_without_a_server(sweep, made_by_the_agent, tmp_path, tiny_cache):
    arguments = {name: values(parameter)[0] for name, parameter in sweep["parameters"].items()}
    command, environment = made_by_the_agent(arguments)
    method = ("objective=demote", "mask=all", "optimizer=kfac")
    fixed = [one for one in command_runs.training(*method, "stop.max_steps=1") if one.partition("=")[0] not in arguments]
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    variables = environment | {"PATH": path, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *fixed], env=variables, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "outputs" / "sweep123" / "run456"
    result = command_runs.read_result(folder)
    assert result["config"]["optimizer"]["relative_norm"] == 2e-3 and result["config"]["objective"]["forget_weight"] == 0.02
    (run,) = [offline_records.read(file) for file in folder.rglob("*.wandb")]
    assert run.id == "run456" and run.exit_code == 0  # the id that the agent was given, not one of our own
    for name in ("forget_em", "retain_val_kl"):
        assert run.summary[f"kept_check/{name}"] == pytest.approx(result["kept_check"][name])
