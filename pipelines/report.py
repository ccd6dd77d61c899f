"""The stage report as a command: python -m pipelines.report --help."""

from pipelines.command import run_command
from pipelines.stages import stage_command

if __name__ == "__main__":
    run_command(lambda: stage_command("report"))
