"""Unlearn or edit memorized paragraphs: `python train.py --help`."""

from memunlearn.process import own_process

if __name__ == "__main__":
    with own_process():
        from memunlearn.commands.apps import run

        run("train")
