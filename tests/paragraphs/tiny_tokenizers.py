"""Real tokenizers of several kinds, trained in a moment."""

import random

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

WORDS = (
    "the old harbour master wrote every evening in a small green book about ships that came from far away and what "
    "they carried home in winter storms while his daughter counted lamps along the pier and sang of salt and rope"
).split()


def words(seed, count):
    drawn = random.Random(seed)
    return " ".join(drawn.choice(WORDS) for _ in range(count))


def byte_level(beginning=(), ending=(), bos=None):
    """Byte-level BPE; its habit is to put `beginning` in front of text and `ending` behind it."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = list(dict.fromkeys(["<|end|>", *beginning, *ending, *([bos] if bos else [])]))
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator([words(seed, 60) for seed in range(20)], trainer)
    if beginning or ending:
        made.post_processor = processors.TemplateProcessing(
            single=" ".join([*beginning, "$A", *ending]),
            special_tokens=[(one, made.token_to_id(one)) for one in {*beginning, *ending}],
        )
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>", bos_token=bos)


def unigram():
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=200, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    made.train_from_iterator([words(seed, 60) for seed in range(20)], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")


def without_words():
    """BPE over the whole text at once, spaces within tokens: nothing keeps a cut from reaching far back."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>"], show_progress=False)
    made.train_from_iterator([words(seed, 60) for seed in range(20)], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")
