"""One browser a worker for all tests of pages: a fixture that each file imported would be another one in each."""

from browser import chromium_process, open_page  # noqa: F401  pytest finds fixtures by their import
