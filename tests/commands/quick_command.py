"""A command that needs no model: what every command does with its process, its folder and its place in a sweep, in a second.

`python quick_command.py OVERRIDES` writes its process and its seed into JOURNAL, waits until the file GATE is there, and leaves
a result.
"""

import logging
import os
import time
from pathlib import Path

from memunlearn.process import own_process

CONF = Path(__file__).parents[2] / "conf"
WITHOUT_SUMMARY = "hydra.callbacks.watch_jobs.summary=false"


def task(cfg):
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from memunlearn.commands.earlier_results import is_complete
    from memunlearn.commands.sweep_folder import finished_job
    from memunlearn.errors import UserError
    from memunlearn.files.writing import write_json

    hydra_config = HydraConfig.get()
    folder, config = Path(hydra_config.runtime.output_dir), OmegaConf.to_container(cfg, resolve=True)
    sweep = hydra_config.mode == RunMode.MULTIRUN
    if finished_job(folder.parent, config) if sweep else is_complete(folder, config) and not cfg.overwrite:
        print("skipped")
        return
    print("begun \u2022 \u732b", flush=True)
    logging.getLogger(__name__).warning("a warning \u2022 \u732b")
    (folder / "begun").touch()
    if os.environ.get("CHECKPOINT"):
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "last.ckpt").touch()
    write(f"begun {cfg.seed}")
    last = time.monotonic() + 120  # it does not outlive a test that failed
    while "GATE" in os.environ and not Path(os.environ["GATE"]).exists() and time.monotonic() < last:
        time.sleep(0.02)
    write(f"ended {cfg.seed}")
    if str(cfg.seed) == os.environ.get("FAILING"):
        raise UserError("this seed is not liked")
    write_json(folder / os.environ.get("OUTCOME", "result.json"), {"config": config})


def write(line):
    if "JOURNAL" in os.environ:
        with open(os.environ["JOURNAL"], "a", encoding="utf-8") as journal:
            journal.write(f"{os.getpid()} {line}\n")


if __name__ == "__main__":
    with own_process():
        from memunlearn.commands.hydra_app import run_app

        run_app(task, "train", CONF)
