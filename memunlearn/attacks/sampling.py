"""Many samples in place of one greedy answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from memunlearn.attacks.attempt import Attempt, Settings
from memunlearn.attacks.material import Subject, Target
from memunlearn.attacks.setting_checks import check_list, is_count
from memunlearn.errors import UserError
from memunlearn.models.text_config import vocabulary_size
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.progress import track
from memunlearn.scoring.forward import continuation_logits
from memunlearn.scoring.greedy import own_settings_aside
from memunlearn.scoring.inputs import model_inputs
from memunlearn.scoring.one_pass import OnePass
from memunlearn.scoring.runs import leading_run, longest_common_run
from memunlearn.scoring.sampling import Sampling

AT_ONCE = 64
"""Samples that are drawn together: always as many, since other batches would draw other samples."""


@dataclass(frozen=True)
class ManySamples:
    """The model answers each prefix n times, every token drawn from its top_k most likely ones at a temperature; the best
    answer of a row counts: the largest EM, and the longest run of the original that stands at any place of one.

    The n are the first of one series of samples, the same for every n. Beside what was drawn stands what to expect of n
    samples, computed from one teacher-forced pass without drawing (Hayes et al. 2024, arXiv 2410.19482): with Q_j the product
    of the renormalised probabilities of the first j tokens of the continuation (Q_C is p_z), n samples hold them with
    probability 1 - (1 - Q_j)^n; the expected EM of the best is the sum of that over j = 1 .. C. `whole`: share of rows of
    which a sample holds the whole continuation; `whole_expected`: the mean of 1 - (1 - p_z)^n; `em_expected`: tokens. NLL is
    the model's own, without sampling.

    samples: n, one attempt each. top_k: None draws from all tokens. temperature: above 0.
    """

    samples: Sequence[int] = (1, 10, 30)
    temperature: float = 1.0
    top_k: int | None = 40
    name: ClassVar[str] = "sampling"

    def __post_init__(self) -> None:
        check_list("sampling.samples", self.samples, is_count, "numbers of samples, 1 or more")
        if not self.temperature > 0:
            raise UserError(
                f"attacks.sampling.temperature={self.temperature} must be above 0: greedy decoding is measured anyway"
            )
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"attacks.sampling.top_k={self.top_k} must be 1 or more, or null for all tokens")

    def __call__(self, subject: Subject, target: Target) -> list[Attempt]:
        """An attempt for each n, with every row of the forget set."""
        forget, model = target.forget, subject.model
        number = max(self.samples)
        said = sampled_continuations(
            model,
            forget,
            number,
            temperature=self.temperature,
            top_k=self.top_k,
            seed=target.seed,
            description=f"{self.name}: {subject.name}",
        )
        original = forget.continuations.repeat_interleave(number, dim=0)
        em = leading_run(said.flatten(0, 1) == original).view(-1, number)
        runs = longest_common_run(said.flatten(0, 1), original).view(-1, number)
        vocabulary = vocabulary_size(model)
        scheme = Sampling(vocabulary if self.top_k is None else min(self.top_k, vocabulary), self.temperature)
        begun, nll = one_pass_over(model, forget, scheme, target.batch_size)
        return [self._attempt(n, em[:, :n], runs[:, :n], nll, begun) for n in sorted(self.samples)]

    def _attempt(self, n: int, em: Tensor, runs: Tensor, nll: Tensor, begun: Tensor) -> Attempt:
        """Of n samples: em, runs [N, n]."""
        expected = chance_in(begun, n)
        settings: Settings = {"n": n, "temperature": self.temperature, "top_k": "all" if self.top_k is None else self.top_k}
        return Attempt(
            settings=settings,
            rows=torch.arange(len(em)),
            em=em.amax(1),
            longest_run=runs.amax(1),
            nll=nll,
            extra={
                "whole": float((em.amax(1) == begun.shape[1]).double().mean()),
                "whole_expected": float(expected[:, -1].mean()),
                "em_expected": float(expected.sum(1).mean()),
            },
        )


@torch.no_grad()
def sampled_continuations(
    model: PreTrainedModel,
    paragraphs: ParagraphSet,
    samples: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = 40,
    seed: int = 0,
    description: str | None = None,
) -> Tensor:
    """Samples of C tokens after each prefix: [N, samples, C] int64, on the CPU.

    Tokens are drawn at the temperature from the top_k most likely ones (None: from all), and nothing else counts: EOS does not
    stop it, and the checkpoint's own generation settings are set aside. The same seed on the same device gives the same
    samples; the random numbers of others are left as they were.
    """
    generate: Any = model.generate
    settings = GenerationConfig(
        max_new_tokens=paragraphs.continuation_length,
        do_sample=True,
        temperature=temperature,
        top_k=0 if top_k is None else top_k,
        num_beams=1,
        use_cache=True,
    )
    prefixes = paragraphs.prefixes.repeat_interleave(samples, dim=0)
    said = [torch.empty(0, paragraphs.continuation_length, dtype=torch.int64)]
    batches = prefixes.split(AT_ONCE) if len(prefixes) else ()
    devices = [model.device] if model.device.type == "cuda" else []
    with own_settings_aside(model), torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        for batch in track(batches, description) if description else batches:
            out = generate(**model_inputs(model, batch), generation_config=settings)
            said.append(out[:, batch.shape[1] :].cpu())
    return torch.cat(said).view(-1, samples, paragraphs.continuation_length)


@torch.no_grad()
def one_pass_over(model: PreTrainedModel, paragraphs: ParagraphSet, scheme: Sampling, batch_size: int) -> tuple[Tensor, Tensor]:
    """log Q_j of the first j = 1 .. C tokens of each continuation when it is sampled: [N, C] fp64, the last column log p_z,
    -inf from the first token on that is not among the top k; and NLL [N] fp32, nats per token. Both on the CPU."""
    begun, nll = [torch.empty(0, paragraphs.continuation_length, dtype=torch.float64)], [torch.empty(0)]
    for rows in torch.arange(len(paragraphs)).split(batch_size) if len(paragraphs) else ():
        logits = continuation_logits(model, paragraphs.ids[rows], paragraphs.continuation_length)
        given = OnePass(logits, paragraphs.continuations[rows].to(logits.device), sampling=scheme)
        begun.append(given.token_log_q.cumsum(1))
        nll.append(given.token_nll.mean(1).cpu())
    return torch.cat(begun), torch.cat(nll)


def chance_in(log_p: Tensor, samples: int) -> Tensor:
    """1 - (1 - p)^samples from log p, elementwise in fp64: the probability of at least one success; 1 where p is 1."""
    return 0.0 - torch.expm1(samples * torch.log1p(-log_p.exp()))
