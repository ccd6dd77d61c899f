"""A page in the browser to try models on: type, see the answer as it is written, compare two; Ctrl-C ends it.

Examples:
  python -m pipelines.play
  python -m pipelines.play --model models:/translation@champion models:/translation/3
"""

from pathlib import Path

from pipelines.command import parser_of, run_command

HOST, PORT = "127.0.0.1", 7860


def main() -> int:
    """Serve until interrupted."""
    parser = parser_of("play", __doc__)
    parser.add_argument(
        "--model",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="bundles, export folders, or addresses of MLflow such as models:/NAME@champion; "
        "of several the first two are compared (default: models/export and the registered models)",
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"0 takes a free one (default: {PORT})")
    parser.add_argument("--host", default=HOST, help=f"the address that the page is served at (default: {HOST})")
    options = parser.options()
    from lmlab.playground.catalog import project_catalog
    from lmlab.playground.serving import serve_page

    serve_page(project_catalog(Path.cwd(), options.model), Path.cwd(), host=options.host, port=options.port)
    return 0


if __name__ == "__main__":
    run_command(main)
