"""The one error that a user can cause: pipelines print it as one line and exit with 2."""

# The line may quote what is wrong, which may be long, or say something to a terminal.
LONGEST = 2000


class InputError(ValueError):
    """What is wrong, where, and what would be right, in one line."""

    def __init__(self, message: str) -> None:
        line = " ".join(message.split())
        if len(line) > LONGEST:
            line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
        super().__init__("".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line))
