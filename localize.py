"""Show where memorized paragraphs live in the weights, and how they are recalled: `python localize.py --help`."""

from memunlearn.process import own_process

if __name__ == "__main__":
    with own_process():
        from memunlearn.commands.apps import run

        run("localize")
