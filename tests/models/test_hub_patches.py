"""Which file a patch's name stands for."""

import pytest
from fake_hub import Repository, hub  # noqa: F401  pytest finds fixtures by their import

from memunlearn.errors import UserError
from memunlearn.models.hub_patches import located_patch
from memunlearn.paths import expanded


@pytest.fixture
def shared(hub):  # noqa: F811
    """me/patch: a patch on main, another on v2; on neither are rows."""
    hub.repositories["me/patch"] = Repository(
        True, {"main": {"patch.safetensors": b"one"}, "v2": {"patch.safetensors": b"two"}}
    )
    hub.repositories["me/model"] = Repository(True, {"main": {"model.safetensors": b"weights"}})
    return hub


def test_a_name_is_fetched_once(shared):
    assert located_patch("me/patch").read_bytes() == b"one"
    asked = len(shared.requests)
    assert located_patch("hub://me/patch").read_bytes() == b"one" and len(shared.requests) == asked
    assert located_patch("me/patch@v2").read_bytes() == b"two"
    assert not (located_patch("me/patch").parent / "rows.safetensors").exists()


def test_rows_are_fetched_where_they_were_shared(shared):
    shared.repositories["me/patch"].files["main"]["rows.safetensors"] = b"rows"
    assert (located_patch("me/patch").parent / "rows.safetensors").read_bytes() == b"rows"


def test_a_path_that_is_there_wins(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me").mkdir()
    (tmp_path / "me" / "patch").write_bytes(b"here")
    assert located_patch("me/patch").read_bytes() == b"here" and not shared.requests
    assert located_patch("hub://me/patch").read_bytes() == b"one"


@pytest.mark.parametrize(
    "name", ["patch.safetensors", "run/patch.safetensors", "/a/b", "./a/b", "~/patch", "a/b/c", "patch", "12"]
)
def test_what_is_no_name_is_a_path(shared, name):
    assert located_patch(name) == expanded(name) and not shared.requests


def test_mistakes_are_one_line(shared):
    for name, said in {
        "me/nowhere": "no such file here, and no such model on the Hub, or not for you.*hf auth login",
        "me/patch@v3": "me/patch@v3: the Hub has no such revision of me/patch",
        "me/model": "me/model: this model on the Hub has no patch.safetensors",
        "hub://patch": "hub://patch is no name on the Hub: write hub://OWNER/NAME",
    }.items():
        with pytest.raises(UserError, match=said) as error:
            located_patch(name)
        assert "\n" not in str(error.value)
    shared.refuse = 403
    with pytest.raises(UserError, match="me/other: there is no such file here, and it cannot be fetched from the Hub"):
        located_patch("me/other")
