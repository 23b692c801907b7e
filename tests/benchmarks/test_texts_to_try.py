"""The texts to try find and takedown with hold what they say."""

import tiny_demo
from tiny_demo import shared_folder, tiny_cache, tiny_folder  # noqa: F401
from transformers import AutoTokenizer

from benchmarks.texts import write_texts
from memunlearn.demo.model import demo_rows
from memunlearn.paragraphs.given_files import given_files
from memunlearn.paragraphs.texts import read_texts


def test_passages_stand_where_they_are_said_to(tiny_folder, tiny_cache, tmp_path):  # noqa: F811
    rows, tokenizer = demo_rows(tiny_demo.tiny_demo()), AutoTokenizer.from_pretrained(tiny_folder)
    written = write_texts(tmp_path, rows, tokenizer)
    texts = {text.name: text for text in read_texts(given_files(written).files)}
    assert sorted(texts) == [*(f"Text {n}" for n in range(3)), "long.txt", "more/end.txt", "never.txt", "plain.md", "short.txt"]
    passages = [tokenizer.decode(ids.tolist()) for ids in rows.memorized]
    assert texts["plain.md"].content == passages[1] and texts["more/end.txt"].content.endswith(passages[2])
    assert passages[0] in texts["long.txt"].content[1:] and not texts["long.txt"].content.endswith(passages[0])
    assert all(passage not in texts[name].content for passage in passages for name in ("never.txt", "short.txt"))
    for number in range(len(passages) - 5):
        assert texts[f"Text {number}"].content.endswith(passages[5 + number])
    assert texts["Text 2"].columns == {"name": "Text 2", "source": "book 2"}
