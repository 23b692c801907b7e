import copy
import os

import pytest
import tiny_architectures as tiny
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from memunlearn.errors import UserError
from memunlearn.models import (
    apply_patch,
    attach,
    base_parameters,
    capture_patch,
    delta_parameters,
    detach,
    fingerprint,
    is_attached,
    load_patch,
    remove_patch,
    save_patch,
)

CHOICES = {"sparse": tiny.some_indices, "all": tiny.all_indices}


def logits(model):
    with torch.no_grad():
        return model(tiny.some_ids(seed=9)).logits


def trained(base, choice, steps=3):
    model = copy.deepcopy(base)
    attach(model, CHOICES[choice](model))
    optimizer = torch.optim.AdamW(list(delta_parameters(model).values()), lr=1e-2)
    for step in range(steps):
        ids = tiny.some_ids(seed=step)
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()
    return model


@pytest.fixture(scope="module")
def base():
    return tiny.tiny_model("gpt_neo")


@pytest.fixture(scope="module")
def patch(base):
    return capture_patch(trained(base, "sparse"), {"seed": 3})


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_base_and_patch_are_the_trained_model_and_back(family, choice, tmp_path):
    base = tiny.tiny_model(family)
    original = copy.deepcopy(base)
    model = trained(base, choice)
    save_patch(tmp_path / "patch.safetensors", capture_patch(model, {"mask": {"fraction": 0.1}}))
    patch = load_patch(tmp_path / "patch.safetensors")
    assert patch.config == {"mask": {"fraction": 0.1}}
    assert patch.k == sum(delta.numel() for delta in delta_parameters(model).values())

    apply_patch(base, patch)
    assert torch.equal(logits(base), logits(model))
    assert not torch.equal(logits(base), logits(original))
    remove_patch(base)
    assert torch.equal(logits(base), logits(original))
    after = base_parameters(base)
    for name, parameter in base_parameters(original).items():
        assert torch.equal(parameter.view(torch.int32), after[name].view(torch.int32))


@pytest.mark.parametrize("choice", CHOICES)
def test_file_follows_the_contract(base, choice, tmp_path):
    model = trained(base, choice)
    save_patch(tmp_path / "new" / "patch.safetensors", capture_patch(model, {}))
    with safe_open(tmp_path / "new" / "patch.safetensors", "pt") as file:
        assert file.metadata()["base_fingerprint"] == fingerprint(base)
        for name in delta_parameters(model):
            delta = file.get_tensor(f"{name}.delta")
            assert delta.dtype == torch.float32
            if f"{name}.indices" in file.keys():
                flat = file.get_tensor(f"{name}.indices")
                assert flat.dtype == torch.int64 and bool((flat.diff() > 0).all()) and flat.shape == delta.shape
            else:
                assert delta.shape == base.get_parameter(name).shape
    # By hand, as a reader without memunlearn would apply it.
    plain = copy.deepcopy(base)
    with safe_open(tmp_path / "new" / "patch.safetensors", "pt") as file, torch.no_grad():
        assert choice == "sparse" or not any(key.endswith(".indices") for key in file.keys())
        for name in delta_parameters(model):
            flat = plain.get_parameter(name).view(-1)
            has_indices = f"{name}.indices" in file.keys()
            where = file.get_tensor(f"{name}.indices") if has_indices else torch.arange(flat.numel())
            flat[where] += file.get_tensor(f"{name}.delta").view(-1)
    assert torch.equal(logits(plain), logits(model))


def test_fingerprint_is_of_the_base(base):
    model = copy.deepcopy(base)
    before = fingerprint(model)
    assert len(before) == 64 and before == fingerprint(tiny.tiny_model("gpt_neo")) != fingerprint(
        tiny.tiny_model("gpt_neo", seed=1)
    )
    assert fingerprint(trained(base, "sparse")) == before
    attach(model, tiny.some_indices(model))
    detach(model)  # changes the order in which parameters are registered
    assert fingerprint(model) == before
    with torch.no_grad():
        model.transformer.ln_f.bias[0] += 1e-6
    assert fingerprint(model) != before


def test_fingerprint_counts_a_tied_tensor_once_and_is_of_the_fp32_bytes(base):
    import hashlib

    digest = hashlib.sha256()
    names = sorted(name for name in base.state_dict() if name != "lm_head.weight")
    for name in names:
        tensor = base.state_dict()[name]
        digest.update(f"{name} {list(tensor.shape)} ".encode() + tensor.numpy().tobytes())
    assert fingerprint(base) == digest.hexdigest()


def test_another_base_is_refused(patch):
    other = tiny.tiny_model("gpt_neo", seed=1)
    with pytest.raises(UserError, match="another base model.*checkpoint"):
        apply_patch(other, patch)
    assert not is_attached(other)


def test_no_deltas_no_patch(base):
    with pytest.raises(UserError, match="carries no deltas"):
        capture_patch(base, {})


def test_saving_leaves_nothing_half_written(patch, tmp_path, monkeypatch):
    path = tmp_path / "patch.safetensors"
    save_patch(path, patch)
    whole = path.read_bytes()

    def fail(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError, match="cannot write the patch.*no space"):
        save_patch(path, patch)
    assert path.read_bytes() == whole and os.listdir(tmp_path) == ["patch.safetensors"]


def test_unwritable_place_is_one_line(patch, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot write the patch"):
        save_patch(tmp_path / "file" / "patch.safetensors", patch)


def test_files_that_are_no_patch_are_refused(patch, tmp_path):
    path = tmp_path / "patch.safetensors"
    with pytest.raises(UserError, match="no patch file"):
        load_patch(path)
    save_patch(path, patch)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="not a readable safetensors"):
        load_patch(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="not a readable safetensors"):
        load_patch(path)
    foreign = {"a.weight": torch.tensor([0.5])}
    save_file(foreign, path, {"format": "pt"})
    with pytest.raises(UserError, match="not a memunlearn patch"):
        load_patch(path)
    stamped = {"base_fingerprint": "f"}
    save_file({"a.indices": torch.tensor([1])}, path, stamped)
    with pytest.raises(UserError, match="not a memunlearn patch"):
        load_patch(path)
    save_file({"a.delta": torch.tensor([0.5, 1.5]), "a.indices": torch.tensor([1])}, path, stamped)
    with pytest.raises(UserError, match="as many"):
        load_patch(path)
    save_file({"a.delta": torch.tensor([0.5]).half()}, path, stamped)
    with pytest.raises(UserError, match="float16"):
        load_patch(path)
    save_file({"a.delta": torch.tensor([0.5])}, path, stamped | {"config": "{"})
    with pytest.raises(UserError, match="not JSON"):
        load_patch(path)


def test_a_dense_delta_of_another_shape_leaves_the_model_plain(base, patch):
    from dataclasses import replace

    model = copy.deepcopy(base)
    dense = next(name for name, flat in patch.indices.items() if flat is None)
    with pytest.raises(UserError, match="deltas for a mask"):
        apply_patch(model, replace(patch, deltas={**patch.deltas, dense: torch.tensor([0.5])}))
    assert not is_attached(model)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_deltas_that_are_not_finite_are_refused_in_memory_and_in_files(base, patch, tmp_path, wrong):
    from dataclasses import replace

    path, name = tmp_path / "patch.safetensors", next(iter(patch.deltas))
    broken = patch.deltas[name].clone()
    broken.view(-1)[-1] = wrong
    bad = replace(patch, deltas={**patch.deltas, name: broken})
    with pytest.raises(UserError, match=f"1 deltas of {name}.*NaN or infinite"):
        save_patch(path, bad)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="NaN or infinite"):
        apply_patch(base, bad)
    assert not is_attached(base)
    save_patch(path, patch)
    with safe_open(path, "pt") as file:
        tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()
    save_file({**tensors, f"{name}.delta": broken}, path, metadata)
    with pytest.raises(UserError, match="patch.safetensors.*NaN or infinite"):
        load_patch(path)


def test_roles_are_kept_in_the_metadata_and_damaged_ones_refused(patch, tmp_path):
    from dataclasses import replace

    from memunlearn.paragraphs.roles import Roles

    path, roles = tmp_path / "patch.safetensors", Roles({"forget": ("a" * 64,)}, {"forget": (3,)})
    save_patch(path, replace(patch, roles=roles))
    assert load_patch(path).roles == roles
    save_patch(path, patch)
    assert load_patch(path).roles is None
    save_file({"a.delta": torch.tensor([0.5])}, path, {"base_fingerprint": "f", "roles": '{"forget": ["not a hash"]}'})
    with pytest.raises(UserError, match="roles in its metadata"):
        load_patch(path)
