"""EM is what greedy decoding really does: compared with a loop that appends one argmax after the other."""

import command_runs
import naive_scoring as naive
import plain_transformers
import pytest
import tiny_demo


def compare(model, rows, ids, prefix_length, column):
    em, gap = plain_transformers.recited(model, ids, prefix_length)
    wrong = [(row["origin"], row[column], real) for row, real in zip(rows, em, strict=True) if row[column] != real]
    assert not wrong or gap < 1e-4, f"{wrong} with a smallest top-2 gap of {gap}"  # in a tie either is right


@pytest.mark.parametrize("column", ["em_before", "em_after"])
def test_em_of_every_paragraph_is_greedy_decoding(gradient_run, tiny_folder, column):
    rows = command_runs.read_rows(gradient_run)
    ids = plain_transformers.tokens_of(rows, tiny_folder)
    model = plain_transformers.load(tiny_folder if column == "em_before" else gradient_run / "model")
    compare(model, rows, ids, tiny_demo.P, column)
    assert len({row[column] for row in rows}) > 1


def test_em_of_rows_in_no_reported_set_is_greedy_decoding(tiny_folder, tmp_path):
    assert command_runs.evaluate(directory=tmp_path).code == 0
    rows = command_runs.read_rows(tmp_path)
    compare(plain_transformers.load(tiny_folder), rows, plain_transformers.tokens_of(rows, tiny_folder), tiny_demo.P, "em")
    assert {row["set"] for row in rows} >= {"retain_train", "retain_val", "bystander_val"}


def test_what_the_table_shows_is_what_the_models_say(gradient_run, tiny_folder):
    import torch
    from transformers import AutoTokenizer

    rows = [row for row in command_runs.read_rows(gradient_run) if row["set"] == "forget"]
    ids, tokenizer = plain_transformers.tokens_of(rows, tiny_folder), AutoTokenizer.from_pretrained(tiny_folder)
    for folder, column in ((tiny_folder, "continuation_before"), (gradient_run / "model", "continuation_after")):
        model = plain_transformers.load(folder)
        for row, paragraph in zip(rows, ids, strict=True):
            said = paragraph[: tiny_demo.P]
            while len(said) < len(paragraph):
                with torch.no_grad():
                    said = torch.cat([said, model(said.unsqueeze(0)).logits[0, -1:].argmax(-1)])
            run = naive.common_run(said[tiny_demo.P :], paragraph[tiny_demo.P :])
            assert row[column.replace("continuation", "longest_common_run")] == run
            assert row[column] == tokenizer.decode(said[tiny_demo.P :].tolist(), clean_up_tokenization_spaces=False)
