"""What a run claims, computed again with plain transformers and loops, from the files that it left."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def read_patch(file):
    """(deltas, indices or None by parameter, metadata)."""
    with safe_open(file, "pt") as opened:
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}
        metadata = opened.metadata()
    deltas = {key.removesuffix(".delta"): value for key, value in tensors.items() if key.endswith(".delta")}
    indices = {name: tensors.get(f"{name}.indices") for name in deltas}
    assert len(tensors) == len(deltas) + sum(flat is not None for flat in indices.values())
    return deltas, indices, {**metadata, "config": json.loads(metadata["config"])}


@torch.no_grad()
def patched(base_folder, file):
    """The base checkpoint with the patch added by hand."""
    model = load(base_folder)
    weights = dict(model.named_parameters())
    deltas, indices, _ = read_patch(file)
    for name, delta in deltas.items():
        if indices[name] is None:
            weights[name] += delta
        else:
            weights[name].view(-1)[indices[name]] += delta
    return model


def tokens_of(rows, demo_folder):
    """The token ids [N, I] of rows of paragraphs.parquet, found by where they came from."""
    corpus = load_file(Path(demo_folder) / "corpus.safetensors")
    corpus["seen"] = corpus["background"]
    places = [row["origin"].removeprefix("demo ").split(":") for row in rows]
    return torch.stack([corpus[role][int(place)] for role, place in places])


@torch.no_grad()
def rescored(model, ids, prefix_length):
    """(EM, longest run, NLL) of each row, token by token."""
    scores = []
    for row in ids:
        logits = model(row.unsqueeze(0)).logits[0, prefix_length - 1 : -1]
        labels = row[prefix_length:]
        hits = (logits.argmax(-1) == labels).tolist()
        em = hits.index(False) if False in hits else len(hits)
        longest = max(map(len, "".join("x" if hit else " " for hit in hits).split()), default=0)
        nll = -logits.double().log_softmax(-1)[torch.arange(len(labels)), labels].mean()
        scores.append((em, longest, float(nll)))
    return scores


@torch.no_grad()
def recited(model, ids, prefix_length):
    """EM of each row by decoding one token after the other from the prefix alone; and the smallest top-2 gap met."""
    em, gap = [], float("inf")
    for row in ids:
        said, right = row[:prefix_length], 0
        while len(said) < len(row):
            last = model(said.unsqueeze(0)).logits[0, -1]
            top = last.topk(2).values
            gap = min(gap, float(top[0] - top[1]))
            said = torch.cat([said, last.argmax().unsqueeze(0)])
            if said[-1] != row[len(said) - 1]:
                break
            right += 1
        em.append(right)
    return em, gap
