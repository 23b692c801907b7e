"""The browser of the pages' tests: one for all files, since playwright starts only once in a process."""

from browser import chromium_process, open_page

__all__ = ["chromium_process", "open_page"]
