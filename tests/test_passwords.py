"""What must not be shown is not shown, and what is none is left alone."""

import pytest

from memunlearn.passwords import hide_passwords, without_passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:s3cret@host/x is not there", "https://user:***@host/x is not there"),
        ("postgresql://u:s3/cr@et@host:5432/db", "postgresql://u:***@host:5432/db"),
        ("redis://:s3cret@host/0", "redis://:***@host/0"),
        ("https://s3cret@host/x", "https://***@host/x"),
        ("url=mysql+pymysql://u:s3cret@h/d seed=1", "url=mysql+pymysql://u:***@h/d seed=1"),
        ("'s3://key:s3cret@bucket/x'", "'s3://key:***@bucket/x'"),
        ("https://h/x?token=s3cret&page=2", "https://h/x?token=***&page=2"),
        ("python train.py +logger.api_key=s3cret seed=1", "python train.py +logger.api_key=*** seed=1"),
        ("model.token='s3 cret' seed=1", "model.token=*** seed=1"),
        ("sent hf_s3cretS3CRETs3cretS3CRET", "sent ***"),
    ],
)
def test_passwords_are_hidden(text, shown):
    assert without_passwords(text) == shown
    assert without_passwords(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "https://host:8080/model@revision",
        "https://host/model@revision",
        "org/model@revision",
        "write to someone@host.org",
        "sqlite:////tmp/a:b@c.db",
        "model.tokenizer=gpt2 objective.max_token_nll=3 paragraphs.column=token",
        "C://x",
        "",
    ],
)
def test_other_text_is_left_alone(text):
    assert without_passwords(text) == text


def test_nested_settings():
    config = {
        "a": ["https://u:s3cret@h", 3, None],
        "logger": {"api_key": "s3cret", "tags": []},
        "token": None,
        "tokenizer": "x",
    }
    assert hide_passwords(config) == {
        "a": ["https://u:***@h", 3, None],
        "logger": {"api_key": "***", "tags": []},
        "token": None,
        "tokenizer": "x",
    }
