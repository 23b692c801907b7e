"""What a sweep makes of a job that another process has ended."""

import json

import pytest
from hydra.core.utils import JobStatus
from omegaconf import OmegaConf

from memunlearn.commands.sweep_launcher import Job, _ended_elsewhere
from memunlearn.errors import UserError


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (json.dumps({"error": "mend this", "mistake": True}), UserError, "mend this"),
        (json.dumps({"error": "KeyError('a')", "mistake": False}), RuntimeError, "KeyError('a')"),
        ('{"error": ', UserError, "error.json cannot be read"),
        ("[]", UserError, "error.json is not a JSON object"),
        ("{}", RuntimeError, "None"),
    ],
)
def test_a_job_that_failed_elsewhere_has_failed_whatever_became_of_what_it_said(tmp_path, capsys, content, kind, said):
    folder = tmp_path / "sweep" / "3"
    folder.mkdir(parents=True)
    job = Job(3, ["seed=1"], OmegaConf.create(), folder)
    assert _ended_elsewhere(job, {}) is None
    (folder / "error.json").write_text(content)
    ended = _ended_elsewhere(job, {})
    assert ended.status == JobStatus.FAILED and "failed by another process: job 3" in capsys.readouterr().out
    with pytest.raises(kind, match="error.json" if "error.json" in said else None) as error:
        _ = ended.return_value
    assert said in str(error.value)
