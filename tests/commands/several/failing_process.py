"""A callback that ends one of several processes right after a step, after the checkpoint of that step was written."""

import os
import signal

from lightning.pytorch.callbacks import Checkpoint

from memunlearn import several_processes
from memunlearn.errors import UserError

OVERRIDE = "+callbacks.failing._target_=failing_process.Failing"
# A class that no config of the project offers.
ALLOWED = "allow=[failing_process.Failing]"


class Failing(Checkpoint):
    """FAIL_AFTER: the step. FAIL_IN: the number of the process. FAIL_BY: "mistake", "fault" or "kill" (SIGKILL)."""

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        if os.environ.get("FAIL_AFTER") != str(trainer.global_step) or os.environ["FAIL_IN"] != str(several_processes.number()):
            return
        if os.environ["FAIL_BY"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ["FAIL_BY"] == "mistake":
            raise UserError("this process is not liked: use another")
        raise ZeroDivisionError("a fault of ours")
