"""The one error that a user can cause: pipelines print it as one line and exit with 2."""


class InputError(ValueError):
    """What is wrong, where, and what would be right, in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
