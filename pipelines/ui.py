"""The MLflow UI on the project's runs, on this machine alone (127.0.0.1); Ctrl-C ends it.

Example: python -m pipelines.ui --port 5001
"""

from pathlib import Path

from lmlab.tracking.ui import serve_ui
from pipelines.command import parser_of, run_command


def main() -> int:
    """Serve until interrupted."""
    parser = parser_of("ui", __doc__)
    parser.add_argument("--port", type=int, default=5000, help="port on 127.0.0.1 (default: 5000)")
    serve_ui(Path.cwd(), port=parser.options().port)
    return 0


if __name__ == "__main__":
    run_command(main)
