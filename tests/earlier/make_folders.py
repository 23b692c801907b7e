"""Writes `folders/`: what an earlier version leaves, from its own code on a tiny model.

`python tests/earlier/make_folders.py COMMIT`, in a clone that has the commit. `model/` and the rows in `folders/` come from a
seed; `run` is a finished run with its patch, `sweep` has two jobs, `trials` is a finished per_paragraph run, `interrupted` was
killed after it had a checkpoint. Only what the tests read is kept (KEPT). The commands work in a temporary folder and name
everything by relative paths.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import GPTNeoConfig, GPTNeoForCausalLM

ROOT = Path(__file__).parents[2]
FOLDERS = Path(__file__).parent / "folders"
P, C, VOCABULARY = 4, 6, 40
INPUTS = (
    "model=local",
    "model.name_or_path=model",
    "paragraphs=files",
    "paragraphs.forget=forget.pt",
    "paragraphs.bystander=bystander.pt",
    "paragraphs.retain=retain.pt",
    f"paragraphs.prefix_length={P}",
    f"paragraphs.continuation_length={C}",
    "batch_size=4",
    "trainer.accelerator=cpu",
    "mask.fraction=0.1",
)
RUN = (*INPUTS, "stop.every=2", "stop.max_steps=4", "optimizer.lr=0.01")
SWEEP = (*RUN, "mask=gradient,random")
TRIALS = (*INPUTS, "protocol=per_paragraph", "protocol.trials=2", "protocol.steps=1", "protocol.retain_batch=2")
# Too slow to forget anything.
INTERRUPTED = (*INPUTS, "optimizer.lr=1e-7", "stop.max_steps=300", "callbacks.checkpoint.every_n_train_steps=5")
KEPT = (
    "model/*",
    "*.pt",
    *(f"run/{name}" for name in ("result.json", "patch.safetensors", "paragraphs.parquet", "metrics.csv")),
    *(f"sweep/*/{name}" for name in ("result.json", ".content")),
    "trials/result.json",
    *("interrupted/metrics.csv", "interrupted/checkpoints/*"),
)
FILES = {"forget": (6, 2), "bystander": (14, 2), "retain": (24, 3)}  # rows, seed


def write_inputs(made: Path) -> None:
    """Random rows, and a model of 7,392 weights that recites those of forget and bystander."""
    torch.manual_seed(1)
    shape = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_layers": 2, "num_heads": 2, "max_position_embeddings": 16}
    config = GPTNeoConfig(**shape, attention_types=[[["global", "local"], 1]], bos_token_id=0, eos_token_id=0)
    model, rows = GPTNeoForCausalLM(config), {}
    for name, (count, seed) in FILES.items():
        rows[name] = torch.randint(1, VOCABULARY, (count, P + C), generator=torch.Generator().manual_seed(seed))
        torch.save(rows[name], made / f"{name}.pt")
    recited = torch.cat([rows["forget"], rows["bystander"]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(400):
        optimizer.zero_grad()
        model(recited, labels=recited).loss.backward()
        optimizer.step()
    model.save_pretrained(made / "model")


def command(code: Path, *arguments: str) -> list[str]:
    return [sys.executable, str(code / "train.py"), *arguments]


def environment(code: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(code), "WANDB_MODE": "offline", "MEMUNLEARN_CACHE": str(code / "cache")}


def make_interrupted(code: Path, made: Path) -> None:
    """Ends the run as a power cut would, once it has a checkpoint."""
    checkpoint = made / "interrupted" / "checkpoints" / "last.ckpt"
    arguments = command(code, *INTERRUPTED, "hydra.run.dir=interrupted")
    with subprocess.Popen(arguments, cwd=made, env=environment(code)) as process:
        while not checkpoint.is_file() and process.poll() is None:
            time.sleep(0.002)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    if (made / "interrupted" / "result.json").is_file() or not checkpoint.is_file():
        raise SystemExit("it was not interrupted: raise stop.max_steps")


def main(commit: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        code, made = Path(folder, "code"), Path(folder, "made")
        code.mkdir(), made.mkdir()
        write_inputs(made)
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", code], input=archive, check=True)
        for arguments in (
            (*RUN, "hydra.run.dir=run"),
            ("-m", *SWEEP, "hydra.sweep.dir=sweep"),
            (*TRIALS, "hydra.run.dir=trials"),
        ):
            subprocess.run(command(code, *arguments), cwd=made, env=environment(code), check=True)
        make_interrupted(code, made)
        shutil.rmtree(FOLDERS, ignore_errors=True)
        kept = [path for pattern in KEPT for path in made.glob(pattern)]
        for path in kept:
            (FOLDERS / path.relative_to(made)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, FOLDERS / path.relative_to(made))
        print(f"{sum(path.stat().st_size for path in kept):,} bytes of {commit} in {FOLDERS}")


if __name__ == "__main__":
    main(sys.argv[1])
