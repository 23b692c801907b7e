import fake_sweeps
from fake_sweeps import config

from memunlearn.results.old_names import config_today
from memunlearn.sweeps.runs import Run
from memunlearn.sweeps.settings import also_different, comparable, repeated, seed_name, settings_of


def runs(*configs):
    return [
        Run(
            folder=str(i),
            state="finished",
            result={"before": {}, "after": {}},
            config=config_today(one),
            overrides=(),
            paragraphs=(),
            curve=(),
            trajectory=None,
            error=None,
            problems=(),
            has_report=False,
        )
        for i, one in enumerate(configs)
    ]


def setting(found, label):
    return next(one for one in found if one.label == label)


def test_a_setting_is_everything_but_the_seeds():
    made = runs(
        *(config(objective, mask, seed) for objective in ("unlearn", "edit") for mask in fake_sweeps.MASKS for seed in (1, 0))
    )
    found = settings_of(made)
    assert [one.label for one in found] == [
        f"{objective}, {mask}"
        for objective in ("unlearn", "edit")
        for mask in ("all", "gradient", "random", "random (matched)")
    ]
    assert all([seed_name(run) for run in one.runs] == ["0", "1"] for one in found)


def test_what_changes_no_number_tells_no_settings_apart():
    made = runs(config(seed=0, save_model=True, logger={"wandb": {}}), config(seed=1, resume=True))
    assert [len(one.runs) for one in settings_of(made)] == [2]
    assert settings_of(made)[0].label == "all runs"


def test_names_leave_out_what_follows_from_others():
    """optimizer.lr comes with the mask here, so it is no name; swept by itself it is."""
    assert settings_of(runs(config(mask="all"), config(mask="gradient")))[0].names == ("mask",)
    swept = runs(*(config(seed=seed, optimizer={"lr": lr}) for lr in (0.1, 0.2) for seed in (0, 1)))
    assert [one.label for one in settings_of(swept)] == ["optimizer.lr=0.1", "optimizer.lr=0.2"]


def test_the_fraction_of_all_weights_is_no_difference():
    made = runs(*(config(mask="all") | {"mask": fake_sweeps.MASKS["all"] | {"fraction": f}} for f in (0.1, 0.2)))
    assert len(settings_of(made)) == 1
    assert [run.folder for run in repeated(made, settings_of(made))] == ["1"]


def test_own_text_is_named_and_memorized_text_is_the_rule():
    found = settings_of(runs(config(), config(forget_text="own")))
    assert [one.label for one in found] == ["all runs", "own text"]


def test_seeds_set_alone_are_other_seeds():
    made = runs(config(seed=3), config(seed=3) | {"seeds": {"split": 0, "mask": 3, "training": 3}})
    assert [seed_name(run) for run in made] == ["3", "3, split 0"]
    assert len(settings_of(made)[0].runs) == 2
    old = runs({key: value for key, value in config(seed=3).items() if key != "seeds"})
    assert seed_name(old[0]) == "3"


def test_only_settings_that_agree_otherwise_are_comparable():
    made = runs(*(config(objective, mask) for objective in ("unlearn", "edit") for mask in ("all", "gradient")))
    found = settings_of(made)
    a, b = setting(found, "unlearn, gradient"), setting(found, "edit, gradient")
    assert comparable(a, b, "objective") and not comparable(a, setting(found, "edit, all"), "objective")
    all_weights = setting(found, "unlearn, all")
    assert comparable(a, all_weights, "mask")
    assert also_different(a, all_weights, "mask") == ["optimizer.lr 0.002 and 0.0004"]


def test_a_fraction_is_held_equal_between_masks_and_free_against_all_weights():
    def with_fraction(mask, fraction):
        return config(mask=mask) | {"mask": fake_sweeps.MASKS[mask] | {"fraction": fraction}}

    found = settings_of(runs(*(with_fraction(m, f) for m in ("gradient", "random") for f in (0.01, 0.1)), config(mask="all")))
    gradient, random = setting(found, "gradient, fraction=0.01"), setting(found, "random, fraction=0.1")
    assert not comparable(gradient, random, "mask")
    assert comparable(gradient, setting(found, "random, fraction=0.01"), "mask")
    assert comparable(gradient, setting(found, "all"), "mask")
