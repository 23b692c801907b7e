"""What a model recites of a text, told by plain greedy decoding from every token: independent of memunlearn."""

import torch


def recited(tokenizer, model, content, prefix_length, length, min_prefix=10):
    """The starts of all continuations that greedy decoding gets right, {start: ids of the row}."""
    ids = torch.tensor(tokenizer(content, add_special_tokens=False)["input_ids"])
    found = {}
    for start in range(min(min_prefix, prefix_length), len(ids) - length + 1):
        prefix = ids[max(0, start - prefix_length) : start]
        said = model.generate(
            prefix[None], attention_mask=torch.ones_like(prefix[None]), max_new_tokens=length, do_sample=False
        )
        if said[0, len(prefix) :].tolist() == ids[start : start + length].tolist():
            found[start] = ids[start - len(prefix) : start + length].tolist()
    return found
