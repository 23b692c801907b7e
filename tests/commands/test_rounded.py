"""What is said of a checkpoint in 16 bits: its own figures, and a way out where they are others than before."""

import pytest
import torch

from memunlearn.commands.rounded import Rounded, mean_em, name_of, scored_again
from memunlearn.errors import UserError
from memunlearn.scoring.score import score


def test_more_than_one_token_is_a_warning_that_names_the_way_out():
    near = Rounded("bfloat16", {"forget": (1.0, 2.0), "bystander": (9.0, 8.0)})
    assert near.moved == () and "dtype" not in near.said("dtype=float32")
    assert near.said("dtype=float32") == (
        "the checkpoint in bfloat16, scored again: forget EM 2.0 (1.0 before rounding), bystander EM 8.0 (9.0 before rounding)"
    )
    for em, moved in (
        ({"forget": (1.0, 2.01), "bystander": (9.0, 9.0)}, ("forget",)),
        ({"forget": (1.0, 1.0), "bystander": (9.0, 7.9)}, ("bystander",)),
    ):
        far = Rounded("float16", em)
        assert far.moved == moved
        assert far.said("dtype=float32").startswith("warning: rounding to float16 changes what the model recites: forget EM ")
        assert far.said("dtype=float32").endswith("; dtype=float32 writes it as measured")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_is_the_files_that_are_scored(tmp_path, reciting, sets, dtype):
    reciting.to(dtype).save_pretrained(tmp_path)
    rows = {"forget": sets.forget, "bystander": sets.bystander}
    expected = {name: float(score(reciting.float(), of_set).em.double().mean()) for name, of_set in rows.items()}
    found = scored_again(tmp_path, rows, {"forget": 3.0, "bystander": expected["bystander"]}, dtype, torch.device("cpu"))
    assert found.dtype == name_of(dtype)
    assert found.em == {"forget": (3.0, expected["forget"]), "bystander": (expected["bystander"],) * 2}
    assert expected["forget"] > 4 and found.moved == ("forget",)


def test_without_rows_nothing_is_read(tmp_path):
    assert scored_again(tmp_path / "none", {}, {}, torch.bfloat16, torch.device("cpu")) == Rounded("bfloat16", {})
    with pytest.raises(UserError, match="no folder"):
        scored_again(tmp_path / "none", {"forget": None}, {"forget": 1.0}, torch.bfloat16, torch.device("cpu"))


def test_mean_em_is_that_of_the_rows(reciting, sets):
    assert mean_em(reciting, sets.forget) == pytest.approx(float(score(reciting, sets.forget).em.double().mean()))
