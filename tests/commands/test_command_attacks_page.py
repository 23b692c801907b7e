"""What is asked of a model, rather than done to it, on the command line; and the page that attacks leave."""

import command_runs
import pytest
from judged_patches import judge

from memunlearn.demo.model import WHAT_IT_IS

ASKED = (
    "attacks=[positions,sampling,few_shot]",
    "attacks.positions.shifts=[1,3]",
    "attacks.positions.lengths=[4]",
    "attacks.sampling.samples=[1,4]",
    "attacks.few_shot.shots=[1,30]",
)


@pytest.mark.slow
def test_what_is_asked_of_a_patch_s_models(gradient_run, tmp_path):
    patch = gradient_run / "patch.safetensors"
    ended = judge(patch, *ASKED, directory=tmp_path)
    assert ended.code == 0, ended.err
    attacks = command_runs.read_result(tmp_path, "attacks.json")["attacks"]
    told = command_runs.read_result(gradient_run)
    for subject, moment in (("base", "before"), ("unlearned", "after")):
        positions, sampling, few_shot = (
            [attempt for attempt in attacks[name]["attempts"] if attempt["subject"] == subject]
            for name in ("positions", "sampling", "few_shot")
        )
        as_it_stands, *elsewhere, largest = positions
        of_the_run = told[moment]["forget"]
        assert as_it_stands["em"] == of_the_run["em"] and as_it_stands["longest_run"] == of_the_run["longest_run"]
        assert not as_it_stands["counts"] and len(elsewhere) == 3
        assert largest["em"] >= max(one["em"] for one in elsewhere)
        assert sampling[0]["nll"] == pytest.approx(of_the_run["nll"], abs=1e-5)
        assert sampling[1]["em"] >= sampling[0]["em"] and 0 <= sampling[1]["extra"]["whole_expected"] <= 1
        assert [one["n"] for one in few_shot] == [4, 0] and few_shot[1]["em"] is None and "256" in few_shot[1]["note"]
    html = (tmp_path / "attacks.html").read_text("utf-8")
    assert WHAT_IT_IS in html and "shift any" in html and f"{tmp_path}" in ended.out
    again = judge(patch, *ASKED, directory=tmp_path)
    assert again.code == 0 and again.out.count("done already") == 6, again.err
    assert (tmp_path / "attacks.html").read_text("utf-8") == html
    # Without attacks, a page of earlier ones would pass for this call's.
    assert judge(patch, directory=tmp_path).code == 0 and not (tmp_path / "attacks.html").exists()


def test_a_run_that_attacks_names_their_page(tmp_path):
    ended = command_runs.train("attacks=positions", "attacks.positions.shifts=[2]", directory=tmp_path)
    assert ended.code == 0, ended.err
    assert 'href="attacks.html"' in (tmp_path / "report.html").read_text("utf-8")
    assert WHAT_IT_IS in (tmp_path / "attacks.html").read_text("utf-8")
    plain = command_runs.train(directory=tmp_path / "plain")
    assert plain.code == 0 and 'href="attacks.html"' not in (tmp_path / "plain" / "report.html").read_text("utf-8")


def test_a_setting_that_says_nothing_ends_before_any_work(tmp_path):
    ended = command_runs.evaluate("attacks=sampling", "attacks.sampling.temperature=0", directory=tmp_path)
    assert "attacks.sampling.temperature=0" in ended.the_error() and "model:" not in ended.out
    assert not (tmp_path / "evaluation.json").exists()
