"""Named texts of which the tiny demo's model recites some, and what a takedown of them is asked for."""

import command_runs
import sliding_windows
import tiny_demo
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

P, C = tiny_demo.P, tiny_demo.C
LEFT_OUT = ("batch_size", "trainer.accelerator", "stop.max_steps")
UNLEARN = ",".join([*(one for one in command_runs.TRAINING if not one.startswith(LEFT_OUT)), "stop.max_steps=60"])
RECITED = ("long.txt", "short.txt", "windows.txt", "copy of short.txt")


def written(parent, model):
    """A folder of six texts in this one: a span in the middle of a long text, a short text, one that was never seen, one with
    line ends of Windows and emoji, a near-duplicate, and one that is too short to be asked for."""
    folder = parent / "letters (5)"
    folder.mkdir()
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = {name: ids.tolist() for name, ids in load_file(model / "corpus.safetensors").items()}
    memorized, unseen = rows["memorized"], rows["unseen"]
    texts = {
        "long.txt": tokenizer.decode([*unseen[0], *unseen[1][:7], *memorized[0], *unseen[2]]),
        "short.txt": tokenizer.decode(memorized[1]),
        "never.txt": tokenizer.decode([*unseen[3], *unseen[4]]),
        "windows.txt": "Dear all 🙂,\r\n" + tokenizer.decode(memorized[2]) + "\r\nBye 👋\r\n",
        "copy of short.txt": tokenizer.decode([*unseen[5][:5], *memorized[1], *unseen[6][:3]]),
        "tiny.txt": tokenizer.decode(unseen[7][: C - 1]),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8", newline="")
    return folder


def overrides(texts, model, *more):
    return (
        f"texts='{texts}'",
        f"model.name_or_path={model}",
        f"prefix_length={P}",
        f"continuation_length={C}",
        "attacks=[]",
        f"unlearn=[{UNLEARN}]",
        "batch_size=4",
        "accelerator=cpu",
        *more,
    )


def recited(model, text):
    """The starts of all continuations that plain greedy decoding gets right, of a checkpoint that transformers loads."""
    tokenizer, loaded = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    return list(sliding_windows.recited(tokenizer, loaded, text, P, C))


def texts_of(folder):
    return {file.name: file.read_bytes().decode() for file in folder.iterdir()}


def tokens_of(starts):
    """Of all these continuations."""
    return {token for start in starts for token in range(start, start + C)}
