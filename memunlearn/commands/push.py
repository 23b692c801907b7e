"""`memunlearn push RUN OWNER/NAME`: a run's patch, or the checkpoint with it, on the Hub; shown first, sent if asked."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from memunlearn.errors import UserError
from memunlearn.paths import expanded


def main(arguments: Sequence[str] | None = None, program: str = "memunlearn push") -> int:
    """program: what starts this. Returns the exit code: 0, or 2 after one line about a mistake that the user can mend."""
    parser = argparse.ArgumentParser(
        prog=program,
        description="Share a run's patch, or the checkpoint with it, on the Hugging Face Hub. Without --upload nothing is "
        "sent: the files and the model card are shown.",
    )
    parser.add_argument("run", metavar="RUN", help="the folder of a finished run of train.py")
    parser.add_argument("name", metavar="OWNER/NAME", help="the model's name on the Hub")
    parser.add_argument("--license", required=True, metavar="ID", help="of the model card, such as apache-2.0 or other")
    parser.add_argument("--upload", action="store_true", help="really send it")
    parser.add_argument("--public", action="store_true", help="for everybody to see (default: private)")
    parser.add_argument("--checkpoint", action="store_true", help="RUN/model, the whole model, instead of the patch")
    parser.add_argument("--base-model", metavar="OWNER/NAME", help="the base on the Hub, where the run had a copy of it")
    parser.add_argument(
        "--with-texts",
        action="store_true",
        help="also rows.safetensors and report.html, which hold the texts that were forgotten",
    )
    options = parser.parse_args(arguments)
    from memunlearn.commands.sharing import parcel, upload  # here, so that --help answers at once

    try:
        sent = parcel(
            expanded(options.run),
            options.name,
            license=options.license,
            checkpoint=options.checkpoint,
            base_model=options.base_model,
            with_texts=options.with_texts,
        )
        for line in sent.lines():
            print(line)
        if not options.upload:
            print(f"\n{sent.card}\nnothing was sent: add --upload to create {options.name}, {_seen(options.public)}")
            return 0
        print(f"sent: {upload(sent, public=options.public)}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _seen(public: bool) -> str:
    return "for everybody to see" if public else "private"
