"""`python -m memunlearn.commands.several.worker`: one of the other processes of a run, started by the first one."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback

from memunlearn.commands.several.job import FAULT, MISTAKE, READY, Job
from memunlearn.process import SIGNALS


def work(job: Job) -> None:
    """This process's part of the run's protocol; nothing is written, printed or tracked."""
    import lightning
    import torch
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from memunlearn.commands.inputs import load_configured_model, move, quiet_libraries
    from memunlearn.commands.several.handing import received
    from memunlearn.commands.trained_with import ingredients_of, stop_of
    from memunlearn.models.components import eligible_weights
    from memunlearn.several_processes import joined

    quiet_libraries()
    cfg, device = OmegaConf.create(job.config), torch.device(job.device)
    lightning.seed_everything(cfg.seeds.training, workers=True, verbose=False)
    loaded = load_configured_model(cfg)
    move(loaded.model, device, loaded.name)
    given = ingredients_of(
        cfg,
        loaded.model,
        eligible_weights(loaded.model, loaded.patterns),
        received(job.preparation, loaded.model, job.folder),
        objective=instantiate(cfg.objective),
        stop=stop_of(cfg),
        attribution=instantiate(cfg.attribution),
        directory=job.directory,
        resume_from=job.resume_from,
    )
    os.write(1, READY)
    with joined(job.number, job.count, job.meeting, device):
        instantiate(cfg.protocol).run(given)


def main() -> int:
    """Reads a job from stdin and does it. Ends at once when stdin does: the first process has ended then, however it did."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # for the first process to answer
    from memunlearn.commands.mistakes import mistake

    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    job: Job = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    try:
        work(job)
    except Exception as error:
        line = mistake(error)
        print(line or "".join(traceback.format_exception(error)), file=sys.stderr, flush=True)
        os._exit(FAULT if line is None else MISTAKE)  # what is left of the others is not waited for
    return 0


def _end_with_the_first() -> None:
    while os.read(0, 1):
        pass
    os._exit(FAULT)


if __name__ == "__main__":
    sys.exit(main())
