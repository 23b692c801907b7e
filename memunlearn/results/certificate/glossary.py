"""The words of a certificate, explained for a reader who has never met them."""

from __future__ import annotations

TERMS = (
    ("model", "A language model: a program that goes on with a text, one token after the other, as its weights have it."),
    ("weights", "The numbers that make up a model. They were set by training on much text."),
    ("token", "A piece of text as the model reads it: a short word, or a part of a longer one."),
    ("text", "A paragraph of tokens: a beginning, which the model is given, and a continuation, which it is to say or not."),
    ("passage", "A part of a text: again a beginning and a continuation, cut out where the model recites it."),
    ("recite", "To say a whole continuation, token for token, when given the beginning."),
    ("original model", "The model before the change."),
    ("changed model", "The original model with the patch added to its weights."),
    ("patch", "The file that holds the change: which weights, and by how much. It holds no text."),
    (
        "hash, sha256",
        "A fingerprint of a file or a text: the same content gives the same hash, and the text cannot be read from it. Whoever "
        "has the same file can compute its hash and compare.",
    ),
    (
        "right from the start",
        "How many tokens of the continuation the model says before its first mistake, when it always takes its most likely "
        "token (in the files: EM, exact match).",
    ),
    (
        "longest piece",
        "The longest unbroken piece of the true continuation anywhere in what the model says (in the files: longest common "
        "run). A few tokens are ordinary: every text shares phrases with others.",
    ),
    ("group of near-duplicates", "Texts that share long passages. They are counted as one where chance is reckoned with."),
    (
        "attempt",
        "One way in which someone could try to get the texts back, with its settings. An attempt counts where it could have "
        "worked: one that does not even bring back what it was trained on says nothing.",
    ),
    ("came back whole", "After the attempt the model recites the text, from the first token to the last."),
    (
        "model that never saw the texts (oracle)",
        "A model that was trained in the same way without these texts. What it says cannot come from them.",
    ),
    (
        "membership",
        "Whether the model's behaviour gives away which texts it was trained on. A value of one half is guessing, one is "
        "certainty (in the files: AUROC).",
    ),
    (
        "change elsewhere",
        "How far the model's expectations of the next token have moved, on average: zero is no change (in the files: KL, in "
        "nats for each token).",
    ),
)
