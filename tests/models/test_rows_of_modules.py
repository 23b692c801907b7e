"""What a module sees, a row at a time, also where the model lays rows end to end."""

import pytest
import tiny_architectures as tiny
import torch

from memunlearn.models.rows_of_modules import as_rows

MODULES = {"opt": "model.decoder.layers.1.fc1", "gpt2": "transformer.h.1.mlp.c_fc"}


@pytest.mark.parametrize("family", MODULES)
def test_each_row_is_what_the_module_sees_of_it_alone(family):
    model, ids, seen = tiny.tiny_model(family), tiny.some_ids(rows=3, length=5), []
    with as_rows(model) as rows:
        handle = model.get_submodule(MODULES[family]).register_forward_hook(
            lambda module, inputs, output: seen.append((output, rows(output)))
        )
        with torch.no_grad():
            for part in (ids, *ids.split(1)):
                model(input_ids=part)
        handle.remove()
    (given, together), *alone = seen
    assert given.ndim == (2 if family == "opt" else 3) and together.shape == (3, 5, tiny.MLP)
    assert together.data_ptr() == given.data_ptr()
    torch.testing.assert_close(together, torch.cat([by_row for _, by_row in alone]))
    assert not model.get_input_embeddings()._forward_hooks
