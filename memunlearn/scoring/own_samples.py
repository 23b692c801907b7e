"""The model's own text: samples at temperature 1 from nothing, and which of them look as if it had learnt them by heart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from memunlearn.models.text_config import text_config, vocabulary_size
from memunlearn.models.text_ids import no_text
from memunlearn.paragraphs.cluster_choice import number_generator
from memunlearn.progress import track
from memunlearn.scoring.greedy import own_settings_aside
from memunlearn.scoring.inputs import model_inputs

LOWEST = 0.01  # the share of samples that a model is the surest of


@dataclass(frozen=True)
class Start:
    """What a sample begins with.

    ids: its first tokens; without any the first one is drawn from `first`, all as likely. tokens: [V] bool, those that may be
    drawn; first: [V] bool, those of them that text can begin with.
    """

    ids: tuple[int, ...]
    tokens: Tensor
    first: Tensor


def start_of(model: PreTrainedModel, tokenizer: Any | None, beginning: Sequence[int] = ()) -> Start:
    """Samples of this model begin with `beginning` (what stands in front of the text of other rows); else with BOS or, for want
    of it, EOS, of the tokenizer or of the model; else with any token that text can hold.

    Tokens that are drawn are those of the tokenizer: a vocabulary may be padded beyond them.
    """
    config, size = text_config(model), vocabulary_size(model)
    tokens = torch.ones(size, dtype=torch.bool)
    if tokenizer is not None:
        tokens = torch.isin(torch.arange(size), torch.tensor(list(tokenizer.get_vocab().values())))
    ends = [_first(getattr(owner, name, None)) for name in ("bos_token_id", "eos_token_id") for owner in (tokenizer, config)]
    there = [token for token in ends if token is not None and 0 <= token < size]
    first = tokens.clone()
    first[[*there, *no_text(model, tokenizer)]] = False
    return Start(tuple(beginning or there[:1]), tokens, first)


def _first(token: int | Sequence[int] | None) -> int | None:
    """Newer configs name several tokens that end a text."""
    return next(iter(token), None) if isinstance(token, list | tuple) else token  # type: ignore[return-value]


class _DrawOne(LogitsProcessor):
    """Leaves of each row's next tokens the one that its uniform number falls on: p summed up over the vocabulary (fp64).

    chances: [B, T] in [0, 1), a column for each token after the first `given`. A row's numbers are its own, so that neither the
    other rows of a batch nor the device have a part in what is drawn.
    """

    def __init__(self, chances: Tensor, given: int, tokens: Tensor) -> None:
        self.chances, self.given, self.tokens = chances, given, tokens

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        chance = self.chances[:, input_ids.shape[1] - self.given].unsqueeze(1)
        up_to = scores.double().softmax(-1).where(self.tokens, 0.0).cumsum(-1)
        whole = up_to[:, -1:]
        # Rounding must not make the product the whole: no token is behind that.
        reached = torch.minimum(chance * whole, torch.nextafter(whole, torch.zeros_like(whole)))
        drawn = torch.searchsorted(up_to, reached, right=True)
        return torch.full_like(scores, -math.inf).scatter(1, drawn, 0.0)


@torch.no_grad()
def own_samples(
    model: PreTrainedModel,
    rows: int,
    length: int,
    *,
    start: Start,
    seed: int,
    batch_size: int = 16,
    description: str | None = None,
) -> Tensor:
    """Samples of the model's own text, [rows, length] int64 on the CPU: drawn at temperature 1 from all tokens, without top-k
    or top-p. EOS does not stop it, and the checkpoint's own generation settings are set aside.

    The same seed gives the same samples (up to ties of rounding), whatever the batch size; the first of many are those of few.
    """
    chances = torch.from_numpy(number_generator(seed, "own samples").random((rows, length)))
    given = torch.tensor(start.ids, dtype=torch.int64).expand(rows, -1)
    if not start.ids:
        allowed = start.first.nonzero().flatten()
        given = allowed[(chances[:, :1] * len(allowed)).long()]
    chances = chances[:, given.shape[1] :]
    number = length - given.shape[1]
    generate: Any = model.generate
    settings = GenerationConfig(max_new_tokens=number, do_sample=False, num_beams=1, use_cache=True)
    drawn = [torch.empty(0, number, dtype=torch.int64)]
    tokens = start.tokens.to(model.device)
    with own_settings_aside(model), parametrize.cached():
        batches = torch.arange(rows).split(batch_size)
        for batch in track(batches, description) if description else batches:
            inputs = model_inputs(model, given[batch])
            draw = LogitsProcessorList([_DrawOne(chances[batch].to(model.device), given.shape[1], tokens)])
            out = generate(**inputs, generation_config=settings, logits_processor=draw)
            drawn.append(out[:, given.shape[1] :].cpu())
    return torch.cat([given, torch.cat(drawn)], dim=1)


def seems_memorized(em: Tensor, nll_per_byte: Tensor, continuation_length: int) -> Tensor:
    """[N] bool: samples that greedy decoding reproduces (EM = C) and whose NLL against zlib is among the lowest 1 % of all N
    (rounded down; of equal ones the first), after Carlini et al. 2021 (arXiv 2012.07805, section 5).

    em: [N] int64. nll_per_byte: [N], see `likelihood.nll_per_byte`.
    """
    lowest = nll_per_byte.argsort(stable=True)[: math.floor(LOWEST * len(em) + 1e-9)]
    among_lowest = torch.zeros(len(em), dtype=torch.bool)
    among_lowest[lowest] = True
    return among_lowest & (em == continuation_length)
