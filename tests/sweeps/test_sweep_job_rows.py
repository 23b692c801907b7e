"""sweep.parquet: a row a job."""

import json
import random

import fake_sweeps

from memunlearn.sweeps.job_rows import job_rows
from memunlearn.sweeps.runs import read_sweep


def test_every_job_is_a_row_with_the_same_columns(tmp_path):
    fake_sweeps.write_run(tmp_path / "0", fake_sweeps.config())
    fake_sweeps.write_run(tmp_path / "1", fake_sweeps.config("edit", "matched", 1))
    fake_sweeps.write_failure(tmp_path / "2", config=fake_sweeps.config("edit", "all"))
    fake_sweeps.write_failure(tmp_path / "3")
    (tmp_path / "4" / ".hydra").mkdir(parents=True)
    runs = read_sweep(tmp_path)
    random.Random(1).shuffle(runs)
    rows = {row["folder"]: row for row in job_rows(runs)}
    assert len({tuple(row) for row in rows.values()}) == 1 and list(rows) == [run.folder for run in runs]
    first, second = rows["0"], rows["1"]
    assert (first["objective"], first["mask"], first["mask_match"], first["fraction"]) == ("unlearn", "gradient", False, 0.05)
    assert (second["mask"], second["mask_match"], second["seed"], second["seeds/split"]) == ("random (matched)", True, 1, 1)
    assert first["after/forget/em"] == runs[[r.folder for r in runs].index("0")].result["after"]["forget"]["em"]
    assert first["after/forget/em_low"] == first["after/forget/em"] - 1 and first["after/retain/kl"] > 0
    assert first["seconds/protocol"] == 1.5 and first["error"] is None and first["config/optimizer.lr"] == "0.002"
    assert rows["2"]["error"] == rows["3"]["error"] == "mask.layers=[99]: the model has layers 0 to 3"
    assert (rows["2"]["mask"], rows["2"]["state"], rows["2"]["steps"]) == ("all", "failed", None)
    assert rows["3"]["overrides"] == "mask=all mask.layers=[99]" and rows["3"]["mask"] is None
    assert rows["4"]["state"] == "unfinished"


def test_what_attacks_brought_has_columns(tmp_path):
    """Null where no attempt counts, and in the rows of jobs that were not attacked."""
    fake_sweeps.write_run(tmp_path / "0", fake_sweeps.config())
    fake_sweeps.write_run(tmp_path / "1", fake_sweeps.config("edit", "matched", 1))
    path = tmp_path / "0" / "result.json"
    attacks = {"relearning": None, "quantization/int4": {"em": 2.5, "memorized": 0.25}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attacks": attacks}))
    rows = {row["folder"]: row for row in job_rows(read_sweep(tmp_path))}
    of_attacks = {key: value for key, value in rows["0"].items() if key.startswith("attacks/")}
    assert of_attacks == {
        "attacks/relearning/em": None,
        "attacks/relearning/memorized": None,
        "attacks/quantization/int4/em": 2.5,
        "attacks/quantization/int4/memorized": 0.25,
    }
    assert [rows["1"][key] for key in of_attacks] == [None] * 4
