"""train, evaluate and localize from a notebook: compose, call; Hydra's global state is not asked."""

import shutil

import command_runs
import pytest
import tiny_demo
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

import memunlearn as mu


@pytest.fixture(autouse=True)
def _nothing_of_hydras():
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    yield
    assert not HydraConfig.initialized() and not GlobalHydra.instance().is_initialized()


def test_a_run_is_that_of_the_command_and_is_not_done_twice(gradient_run, tmp_path, capsys):
    cfg = mu.compose("train", *command_runs.training("save_model=true"))
    run = mu.train(cfg, tmp_path / "run")
    expected = command_runs.read_result(gradient_run)
    assert run.result == command_runs.read_result(tmp_path / "run") and run.directory == tmp_path / "run"
    for key in ("config", "before", "after", "steps", "mask", "kept_check", "stopped_because", "notes"):
        assert run.result[key] == expected[key], key
    assert run.result["environment"]["command"] is None
    capsys.readouterr()
    assert mu.train(cfg, tmp_path / "run").result == run.result and "complete already" in capsys.readouterr().out
    other = mu.compose("train", *command_runs.training("seed=1"))
    with pytest.raises(mu.UserError, match=r"result\.json is there already, of train\.py with other settings"):
        mu.train(other, tmp_path / "run")
    judged = mu.evaluate(
        mu.compose("evaluate", f"patch={tmp_path / 'run' / 'patch.safetensors'}", "accelerator=cpu"), tmp_path / "judged"
    )
    assert judged.result["sets"]["forget"]["em"] == pytest.approx(run.result["after"]["forget"]["em"])


def test_what_is_given_beside_a_patch_stays(gradient_run, tmp_path):
    patch = f"patch={gradient_run / 'patch.safetensors'}"
    cfg = mu.compose("evaluate", patch, "seed=5", "accelerator=cpu")
    assert mu.evaluate(cfg, tmp_path / "given").result["seed"] == 5
    for changed in (cfg.copy(), mu.compose("evaluate", patch, "accelerator=cpu")):
        changed.seed = 6  # what was set so is not known: the patch's seed would take its place
        with pytest.raises(mu.UserError, match="patch: what was set beside it must be known: give every setting to mu.compose"):
            mu.evaluate(changed, tmp_path / "changed")


def test_a_run_is_resumed_with_its_own_settings(gradient_run, tmp_path):
    with pytest.raises(mu.UserError, match="there is no run to resume"):
        mu.train(mu.compose("train", "resume=true"), tmp_path)
    started = shutil.copytree(gradient_run, tmp_path / "run")
    (started / "result.json").unlink()
    with pytest.raises(mu.UserError, match=r"leave out mask=random stop\.max_steps=22"):
        mu.train(mu.compose("train", "mask=random", "stop.max_steps=22", "resume=true"), started)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [(["batch_size=many"], "batch_size=many must be a whole number"), (["mask.fraction=2"], "mask.fraction=2")],
)
def test_mistakes_are_refused_as_the_command_refuses_them(tmp_path, overrides, said):
    with pytest.raises(mu.UserError, match=said):
        mu.train(mu.compose("train", *command_runs.training(*overrides)), tmp_path)


def test_a_folder_in_use_is_refused(tmp_path):
    from filelock import FileLock

    from memunlearn.commands.claims import LOCK

    with FileLock(tmp_path / LOCK), pytest.raises(mu.UserError, match="is in use by another process"):
        mu.train(mu.compose("train"), tmp_path)


def test_own_configs_are_found_and_analyses_run(tmp_path):
    (tmp_path / "own" / "analysis").mkdir(parents=True)
    (tmp_path / "own" / "analysis" / "mine.yaml").write_text("# @package _global_\ndefaults: [em_nll]\n")
    cfg = mu.compose("localize", *tiny_demo.OVERRIDES, "analysis=mine", "accelerator=cpu", config_dir=tmp_path / "own")
    found = mu.localize(cfg, tmp_path / "found")
    assert list(found.result["analyses"]) == ["em_nll"] and (tmp_path / "found" / "localization.html").is_file()
