"""The scores of a paragraph as loops over tokens and plain forward passes of transformers: slow and obviously right."""

import torch


@torch.no_grad()
def logits_of(model, row):
    """[I, V] of one paragraph [I], the whole sequence as input."""
    return model(input_ids=row.unsqueeze(0), attention_mask=torch.ones(1, len(row), dtype=torch.int64)).logits[0]


def token_nll(model, row, prefix_length):
    """-log p of each continuation token: position i predicts token i + 1."""
    log_p = logits_of(model, row).double().log_softmax(-1)
    return [-float(log_p[i, row[i + 1]]) for i in range(prefix_length - 1, len(row) - 1)]


def token_kl(base, model, row, prefix_length):
    """sum_v p_base (log p_base - log p) at each position that predicts a continuation token."""
    base_p, model_p = (logits_of(m, row).double().softmax(-1) for m in (base, model))
    values = []
    for i in range(prefix_length - 1, len(row) - 1):
        values.append(sum(float(p * (p.log() - q.log())) for p, q in zip(base_p[i], model_p[i], strict=True)))
    return values


def greedy(model, prefix, length):
    """(`length` tokens [length], the top-2 gap of each): append the argmax, run the model on all of it again."""
    ids, gaps = prefix.clone(), []
    for _ in range(length):
        last = logits_of(model, ids)[-1]
        top = last.topk(2).values
        gaps.append(float(top[0] - top[1]))
        ids = torch.cat([ids, last.argmax().unsqueeze(0)])
    return ids[len(prefix) :], gaps


def agreement(said, expected):
    """How many tokens agree before the first that does not."""
    count = 0
    for one, other in zip(said.tolist(), expected.tolist(), strict=True):
        if one != other:
            break
        count += 1
    return count


def longest(hits):
    best = run = 0
    for hit in hits:
        run = run + 1 if hit else 0
        best = max(best, run)
    return best


def common_run(one, other):
    """The longest common run of two lists of tokens: every pair of places, as far as the texts go together from there."""
    best = 0
    for i in range(len(one)):
        for j in range(len(other)):
            length = 0
            while i + length < len(one) and j + length < len(other) and int(one[i + length]) == int(other[j + length]):
                length += 1
            best = max(best, length)
    return best
