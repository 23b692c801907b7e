"""Every part of a key of what is kept of the base model counts, and nothing else does."""

import contextlib
import copy
from dataclasses import replace

import pytest
import torch
from measurement_requests import ALL, ATTRIBUTIONS, METHODS, C, P

from memunlearn.commands import base_measurements
from memunlearn.localization.weight_attribution import (
    Fisher,
)


def with_change(model, change):
    other = copy.deepcopy(model)
    with torch.no_grad():
        change(other)
    return other


def one_bit(model):
    weight = model.get_parameter("transformer.h.1.mlp.c_fc.weight")
    weight.view(torch.int32)[3, 2] ^= 1


def other_token(rows):
    ids = rows.ids.clone()
    ids[2, P + C - 1] += 1
    return replace(rows, ids=ids)


# What is changed, in which kinds of entry it counts.
CHANGES = {
    "one bit of a weight": (ALL, lambda a: replace(a, model=with_change(a.model, one_bit))),
    "an attention window": (
        ALL,
        lambda a: replace(a, model=with_change(a.model, lambda m: setattr(m.config, "window_size", 5))),
    ),
    "the end of text": (ALL, lambda a: replace(a, model=with_change(a.model, lambda m: setattr(m.config, "eos_token_id", 9)))),
    "dtype": (ALL, lambda a: replace(a, model=copy.deepcopy(a.model).double())),
    "a token": (ALL, lambda a: replace(a, rows=other_token(a.rows))),
    "a row less": (ALL, lambda a: replace(a, rows=a.rows.select([0, 1, 2, 3]), clusters=(0, 1, 2, 3))),
    "the order of rows": (ALL, lambda a: replace(a, rows=a.rows.select([1, 0, 2, 3, 4]))),
    "P and C": (ALL, lambda a: replace(a, rows=replace(a.rows, prefix_length=P - 1))),
    "C": (
        ALL,
        lambda a: replace(
            a,
            rows=replace(a.rows, ids=a.rows.ids[:, :-1].contiguous()),
            retain=replace(a.retain, ids=a.retain.ids[:, :-1].contiguous()),
        ),
    ),
    "the seed": (("alternatives", "fisher", "kfac", "curvature"), lambda a: replace(a, seed=4)),
    "what stands before the text": (("alternatives",), lambda a: replace(a, rows=replace(a.rows, text_start=1))),
    "replacements": (("alternatives",), lambda a: replace(a, replacements=1)),
    "own continuations": (("baseline",), lambda a: replace(a, with_own=False)),
    "the weights that are scored": (("curvature", *ATTRIBUTIONS), lambda a: replace(a, names=a.names[:-1])),
    "a retain row": (("contrastive", "fisher", "kfac"), lambda a: replace(a, retain=other_token(a.retain))),
    "positions": (("curvature",), lambda a: replace(a, positions="all")),
    "eigenvalues": (("curvature",), lambda a: replace(a, eigenvalues=True)),
    "the block": (("hidden",), lambda a: replace(a, block="transformer.h.1")),
    # Nothing of these:
    "batch size": ((), lambda a: replace(a, batch_size=3)),
    "clusters": ((), lambda a: replace(a, clusters=(8, 8, 8, 1, 1))),
    "the name of the set": ((), lambda a: replace(a, name="bystander")),
    "where rows came from": ((), lambda a: replace(a, rows=replace(a.rows, origin=("moved.csv",) * 5))),
    "the order of names": ((), lambda a: replace(a, names=a.names[::-1])),
    "a copy of the model": ((), lambda a: replace(a, model=copy.deepcopy(a.model))),
    "the model's folder": (
        (),
        lambda a: replace(a, model=with_change(a.model, lambda m: setattr(m.config, "_name_or_path", "/moved"))),
    ),
    "frozen weights": ((), lambda a: replace(a, model=copy.deepcopy(a.model).requires_grad_(False))),
}


@pytest.mark.parametrize(("counts_for", "change"), CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("what", ALL)
def test_every_part_of_a_key_counts_and_nothing_else(asked, store, what, counts_for, change):
    asked.of(what, store)
    change(asked).of(what, store)
    assert len(store.reused) == (what not in counts_for)
    asked.of(what, store)  # the first entry is still there
    assert len(store.reused) == 1 + (what not in counts_for)


@pytest.mark.parametrize("what", ALL)
def test_the_precision_of_computing_counts(asked, store, what):
    asked.of(what, store)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        asked.of(what, store)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        asked.of(what, store)
    finally:
        torch.set_float32_matmul_precision(before)
    assert store.reused == []


@contextlib.contextmanager
def newer_producers(monkeypatch):
    with monkeypatch.context() as patched:
        for name, number in base_measurements.VERSIONS.items():
            patched.setitem(base_measurements.VERSIONS, name, number + 1)
        for method in METHODS.values():
            patched.setattr(type(method), "version", method.version + 1)
        yield


@contextlib.contextmanager
def newer_libraries(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(base_measurements, "version", lambda name: "99.0")
        yield


@pytest.mark.parametrize("newer", [newer_producers, newer_libraries])
@pytest.mark.parametrize("what", ALL)
def test_the_version_of_the_code_counts(asked, store, what, newer, monkeypatch):
    asked.of(what, store)
    with newer(monkeypatch):
        asked.of(what, store)
    assert store.reused == []


def test_methods_and_their_settings_count(asked, store):
    for method in (*METHODS.values(), Fisher(quantile=0.25)):
        replace(asked, method=method).of("fisher", store)
    assert store.reused == [] and len([path for path in store.directory.iterdir() if path.is_dir()]) == 6


def test_kinds_of_entries_do_not_meet(asked, store):
    for what in ALL:
        asked.of(what, store)
    assert store.reused == []
