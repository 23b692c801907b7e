"""Which attention heads look at rare tokens (paper, section 5): attention of the last prefix token, head by head."""

from memunlearn.analyses.attention_heads.settings import AttentionHeads as AttentionHeads
