"""Small data sets in the layout in which the stages' own are published, in folders instead of on the Hub."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
from tiny_tokenizers import words


def card(folder, configs):
    """README.md as on the Hub: which files are which split of which configuration."""
    lines = ["---", "configs:"]
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, path in splits.items():
            lines += [f"  - split: {split}", f"    path: {path}"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))


def json_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def hubble(base, planted=None, never=None, name="passages_gutenberg_unpopular"):
    """`text`, `meta` and `duplicates`, gzipped jsonl; planted: (text, how often) pairs."""
    folder = base / name
    folder.mkdir(parents=True)
    planted = [(words(n, 90), (1, 256, 16)[n % 3]) for n in range(18)] if planted is None else planted
    never = [words(100 + n, 90) for n in range(12)] if never is None else never
    for split, rows in (("train", planted), ("test", [(text, 0) for text in never])):
        made = [{"text": text, "meta": json.dumps({"n": n}), "duplicates": count} for n, (text, count) in enumerate(rows)]
        with gzip.open(folder / f"{name}_{split}.jsonl.gz", "wt") as file:
            file.write(json_lines(made))
    card(folder, {"default": {split: f"{name}_{split}.jsonl.gz" for split in ("train", "test")}})
    return planted, never


def muse(base, corpus="MUSE-News"):
    """`raw` with four splits of `text`, parquet."""
    folder = base / corpus
    (folder / "raw").mkdir(parents=True)
    splits = ("forget", "retain1", "retain2", "holdout")
    texts = {split: [words(1000 * place + n, 120) for n in range(7)] for place, split in enumerate(splits)}
    for split in splits:
        pq.write_table(pa.table({"text": texts[split]}), folder / "raw" / f"{split}-00000-of-00001.parquet")
    card(folder, {"raw": {split: f"raw/{split}-*" for split in splits}})
    return texts


def tofu(base):
    """A json file of lines a configuration, all with the split train."""
    folder = base / "TOFU"
    folder.mkdir(parents=True)
    names = ("forget10", "retain90", "holdout10")
    pairs = {
        name: [(words(1000 * place + n, 9), words(1000 * place + 500 + n, 8 + n)) for n in range(10)]
        for place, name in enumerate(names)
    }
    for name in names:
        rows = [{"question": question, "answer": answer} for question, answer in pairs[name]]
        (folder / f"{name}.json").write_text(json_lines(rows))
    card(folder, {name: {"train": f"{name}.json"} for name in names})
    return pairs


def olmo(base, lengths=(64, 48)):
    """Lists of ids in `prefix_ids` and `suffix_ids`, jsonl, and a data set of text beside them."""
    base.mkdir(parents=True)
    prefix, suffix = lengths
    recited = [[(7 * n + place) % 300 for place in range(prefix + suffix)] for n in range(5)]
    rows = [{"prefix_ids": ids[:prefix], "suffix_ids": ids[prefix:], "source": "dolma"} for ids in recited]
    (base / "recited.jsonl").write_text(json_lines(rows))
    other = base / "pile-10k"
    (other / "data").mkdir(parents=True)
    texts = [words(n, 40 + 40 * (n % 3)) for n in range(9)]
    pq.write_table(pa.table({"text": texts, "meta": [""] * 9}), other / "data" / "train-00000-of-00001.parquet")
    card(other, {"default": {"train": "data/train-*"}})
    return recited, texts
