"""What a certificate says nothing about: what was not run, what could not be read, and what no test can cover."""

from __future__ import annotations

from memunlearn.results.certificate.attempts import KINDS, NO_ATTEMPT_OF_ITS_OWN, counting, title
from memunlearn.results.certificate.content import Content
from memunlearn.results.certificate.texts import names_in_words
from memunlearn.results.found import TOO_SHORT
from memunlearn.words import counted

ALWAYS = (
    "Other ways of asking: questions about a text, translations, paraphrases, or longer conversations.",
    "Attempts with more effort, other settings, or other tools than those on this page.",
    "Other models: copies of the original model, models that were made from it, and models of other makers.",
    "The places that the texts came from: training data, backups and search indexes are not changed by a change of the model.",
    "Facts: a model that cannot recite a text may still know what it says.",
)


def not_tested(content: Content) -> list[str]:
    """A sentence each: first what was not run here, last what holds for every certificate."""
    return [*_texts(content), *_attacks(content), *_comparisons(content), *_sets(content), *ALWAYS]


def _texts(content: Content) -> list[str]:
    facts = content.facts
    if facts.texts is None:
        return []
    said = []
    if short := [text.name for text in facts.texts if text.kind == TOO_SHORT]:
        said.append(f"Texts that are too short to be asked for: {names_in_words(short)}.")
    if facts.searched_as is None:
        said.append("Passages of the texts other than those below: the changed model was not searched for them.")
    said.append(
        f"The first tokens of each text, before which nothing stands to ask with, and passages of fewer than {facts.length} "
        "tokens."
    )
    return said


def _attacks(content: Content) -> list[str]:
    said = []
    for name in KINDS:
        if name in NO_ATTEMPT_OF_ITS_OWN:
            continue
        attack = (content.attacks or {}).get(name)
        if attack is None:
            said.append(f"{title(name)} ({name}): not tried.")
        elif not counting(attack, "unlearned"):
            said.append(f"{title(name)} ({name}): tried, but no attempt on the changed model says anything.")
    return said


def _comparisons(content: Content) -> list[str]:
    said = []
    if content.oracle is None:
        said.append("A comparison with a model that was trained in the same way without the texts (oracle): not made.")
    if content.membership is None:
        said.append("Whether the model gives away that it was trained on the texts (membership): not measured.")
    elif not content.membership.get("scores"):
        reason = content.membership.get("reason") or "no reason is given"
        said.append(f"Whether the model gives away that it was trained on the texts (membership): not measured, {reason}.")
    if content.lm_eval is None:
        said.append("How well the model does other tasks (benchmarks): not measured.")
    return said


def _sets(content: Content) -> list[str]:
    said = []
    found = content.roles.get("forget")
    if found is not None and (lacking := found["of"] - found["found"]):
        said.append(f"{counted(lacking, 'text')} that the change was made for: not found, so not asked for here.")
    if not content.now.get("bystander"):
        seeming = ", but of some that it seems to know (suspected)" if content.now.get("suspected") else ""
        said.append(f"What happened to other texts that the model knew by heart (bystanders): not measured{seeming}.")
    if not content.now.get("retain"):
        said.append("What happened to ordinary text that the model did not know by heart: not measured.")
    if content.self_generated:
        said.append("Real training text: the texts here appear to be what the model itself wrote.")
    return said
