"""`seed` sets all seeds; each can be set alone and then changes only what it names."""

import command_runs
import plain_transformers
import pytest
import torch

SETTINGS = ("mask=random", "objective=edit", "stop=none", "trainer.max_steps=3")  # the last state is kept, whatever it is


@pytest.fixture
def run(finished_run):
    """What a run drew: its sets, the alternatives, the mask, and the deltas."""

    def run(*seeds):
        folder = finished_run("_".join(("seeds", *seeds)).replace("=", "_"), *SETTINGS, *seeds)
        deltas, indices, _ = plain_transformers.read_patch(folder / "patch.safetensors")
        rows = command_runs.read_rows(folder)
        return {
            "sets": {(row["set"], row["origin"]) for row in rows},
            "alternatives": {row["origin"]: row["alternative"] for row in rows if row["set"] == "forget"},
            "mask": {name: flat.tolist() for name, flat in indices.items()},
            "deltas": torch.cat([deltas[name] for name in sorted(deltas)]).tolist(),
            "figures": {key: command_runs.read_result(folder)[key] for key in ("before", "after", "steps")},
            "config": command_runs.read_result(folder)["config"],
            "seed": command_runs.read_result(folder)["seed"],
        }

    return run


def differ(one, other):
    return {name for name in ("sets", "alternatives", "mask", "deltas") if one[name] != other[name]}


def test_seed_sets_all(run):
    assert run()["config"]["seeds"] == {"split": 0, "mask": 0, "training": 0}
    other = run("seed=5")
    assert other["config"]["seeds"] == {"split": 5, "mask": 5, "training": 5} and other["seed"] == 5
    assert differ(run(), other) == {"sets", "alternatives", "mask", "deltas"}
    alone = run("seeds.split=5", "seeds.mask=5", "seeds.training=5")
    assert alone["seed"] == 0 and differ(alone, other) == set()


@pytest.mark.parametrize(
    "name, changed", [("split", {"sets", "alternatives", "deltas"}), ("mask", {"mask", "deltas"}), ("training", {"deltas"})]
)
def test_each_changes_only_what_it_names(run, name, changed):
    other = run(f"seeds.{name}=5")
    assert other["config"]["seeds"] == {"split": 0, "mask": 0, "training": 0, name: 5} and other["seed"] == 0
    assert differ(run(), other) == changed


def test_fisher_draws_with_the_masks_seed(finished_run):
    """Its labels decide the mask; the seed of training has no part in it."""
    masks = {}
    for seeds in ("seeds.mask=0", "seeds.mask=5", "seeds.training=5"):
        folder = finished_run(f"fisher_{seeds}".replace("=", "_"), "attribution=fisher", "stop.max_steps=1", seeds)
        indices = plain_transformers.read_patch(folder / "patch.safetensors")[1]
        masks[seeds] = {name: flat.tolist() for name, flat in indices.items()}
    assert masks["seeds.mask=0"] == masks["seeds.training=5"] != masks["seeds.mask=5"]


@pytest.mark.parametrize(
    "given", ["seeds.mask=-1", "seeds.split=a", "seeds.training=4294967296", "seeds.mask=1.5", "seeds.mask=null"]
)
def test_what_is_no_seed_is_refused(tmp_path, given):
    assert given.partition("=")[0] in command_runs.train(given, directory=tmp_path).the_error()
