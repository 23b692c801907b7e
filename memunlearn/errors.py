"""The one exception for mistakes that a user can put right."""


class UserError(Exception):
    """A mistake that the user can mend. Its text is one line: what is wrong, where, and what to do about it.

    The commands print that line and end with exit code 2; from Python it is an ordinary exception.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
