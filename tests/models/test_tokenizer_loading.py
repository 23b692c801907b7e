"""A tokenizer that lacks a package names it; the model still loads, for rows of ids."""

import base64
import json

import pytest
import tiny_architectures as tiny
from test_loading import add_tokenizer

from memunlearn.errors import UserError
from memunlearn.models import ModelSource, load_tokenizer
from memunlearn.models.tokenizer_loading import why_without

SENTENCEPIECE = b"\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02" * 3
TIKTOKEN = b"".join(base64.b64encode(bytes([byte])) + f" {byte}\n".encode() for byte in range(256))
FILES = {
    "a llama's": ("tokenizer.model", "LlamaTokenizer", SENTENCEPIECE, "sentencepiece"),
    "a gemma's": ("tokenizer.model", "GemmaTokenizer", SENTENCEPIECE, "sentencepiece"),
    "an older one": ("spiece.model", "GPTSw3Tokenizer", SENTENCEPIECE, "sentencepiece"),
    "one that comes out empty": ("sentencepiece.bpe.model", "XGLMTokenizer", SENTENCEPIECE, "sentencepiece"),
    "tiktoken's": ("tokenizer.model", "PreTrainedTokenizerFast", TIKTOKEN, "tiktoken"),
}


@pytest.fixture
def checkpoint(tmp_path):
    tiny.tiny_model("llama").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def without(monkeypatch):
    """As where the packages are not installed."""
    from importlib.util import find_spec

    def found(name, *rest):
        return None if name in ("sentencepiece", "tiktoken") else find_spec(name, *rest)

    monkeypatch.setattr("memunlearn.models.tokenizer_loading.find_spec", found)
    for module in ("sentencepiece", "tiktoken"):
        monkeypatch.setitem(__import__("sys").modules, module, None)


@pytest.mark.parametrize("which", FILES)
def test_the_missing_package_is_named_and_the_model_loads(checkpoint, without, which):
    file, kind, content, package = FILES[which]
    (checkpoint / file).write_bytes(content)
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
    with pytest.raises(UserError, match=f"needs a package that is not installed: pip install {package}.*model.tokenizer"):
        load_tokenizer(str(checkpoint))
    loaded = ModelSource(str(checkpoint)).load()
    assert loaded.tokenizer is None and loaded.model is not None
    assert package in (why_without(loaded.name) or "")
    with pytest.raises(UserError, match=f"pip install {package}"):
        ModelSource(str(checkpoint), tokenizer=str(checkpoint)).load()


def test_one_that_is_asked_for_must_load_and_none_is_none(checkpoint, tmp_path):
    add_tokenizer(checkpoint)
    assert ModelSource(str(checkpoint)).load().tokenizer is not None
    assert ModelSource(str(checkpoint), tokenizer="none").load().tokenizer is None
    (checkpoint / "tokenizer.json").write_text("{")
    assert ModelSource(str(checkpoint)).load().tokenizer is None
    assert "cannot load the tokenizer" in (why_without(str(checkpoint)) or "")
    assert ModelSource(str(checkpoint), tokenizer="none").load().tokenizer is None
    with pytest.raises(UserError, match="cannot load the tokenizer"):
        ModelSource(str(checkpoint), tokenizer=str(checkpoint)).load()


def test_there_is_no_reason_where_there_is_no_tokenizer(checkpoint):
    assert why_without(str(checkpoint)) is None
    add_tokenizer(checkpoint)
    assert why_without(str(checkpoint)) is None
