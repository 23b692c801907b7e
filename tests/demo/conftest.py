"""The tiny demo, for the demo's own tests."""

from tiny_demo import shared_folder, tiny_folder  # noqa: F401  pytest finds fixtures by their import
