"""The stage train as a command: python -m pipelines.train --help."""

from pipelines.command import run_command
from pipelines.stages import stage_command

if __name__ == "__main__":
    run_command(lambda: stage_command("train"))
