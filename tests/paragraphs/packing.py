"""Files of every packing."""

import gzip

import zstandard

PACKERS = {
    "": lambda content: content,
    ".gz": gzip.compress,
    ".zst": lambda content: zstandard.ZstdCompressor().compress(content),
}


def write(path, content, packing=""):
    """path with the suffix of its packing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = path.with_name(path.name + packing)
    packed.write_bytes(PACKERS[packing](content.encode() if isinstance(content, str) else content))
    return packed
