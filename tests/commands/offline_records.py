"""What an offline W&B run has written, read back from its .wandb file.

The file is a LevelDB log: after 7 bytes of header, blocks of 32 KiB with records of (checksum, length, type, data); type 1 is
a whole record, 2, 3 and 4 are the first, middle and last part of one. Each record is a protobuf message.
"""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path

from wandb.proto import wandb_internal_pb2

BLOCK, HEADER = 32 * 1024, 7


@dataclass
class OfflineRun:
    """config, summary: last values by (dotted) key. history: a dict a logging call. files, artifacts: names.

    ended: whether an exit record stands there."""

    id: str = ""
    group: str = ""
    job_type: str = ""
    name: str = ""
    project: str = ""
    tags: list = field(default_factory=list)
    config: dict = field(default_factory=dict)
    summary: dict = field(default_factory=dict)
    history: list = field(default_factory=list)
    files: list = field(default_factory=list)
    artifacts: dict = field(default_factory=dict)
    exit_code: int | None = None


def records(path):
    content, place, parts = Path(path).read_bytes(), HEADER, []
    while place + HEADER <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEADER:  # too little for another record: zeros
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        parts.append(content[place + HEADER : place + HEADER + length])
        place += HEADER + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(b"".join(parts))
            yield record
            parts = []


def items(records):
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in records}


def read(path):
    run = OfflineRun()
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.id, run.group = record.run.run_id, record.run.run_group
            run.job_type, run.name = record.run.job_type, record.run.display_name
            run.project, run.tags = record.run.project, list(record.run.tags)
            run.config |= items(record.run.config.update)
        elif kind == "config":
            run.config |= items(record.config.update)
        elif kind == "summary":
            run.summary |= items(record.summary.update)
        elif kind == "history":
            run.history.append(items(record.history.item))
        elif kind == "files":
            run.files += [file.path for file in record.files.files]
        elif kind == "artifact" or (kind == "request" and record.request.HasField("log_artifact")):
            artifact = record.artifact if kind == "artifact" else record.request.log_artifact.artifact
            run.artifacts[artifact.type] = [entry.path for entry in artifact.manifest.contents]
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run
