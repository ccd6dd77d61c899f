"""Fill MLflow in with the run that the project's reports tell of, where the store lacks it or a part of it.

Example: python -m pipelines.track
"""

import logging
from pathlib import Path

from lmlab.config import read_params
from lmlab.files import read_seal
from lmlab.tracking.fill import track
from lmlab.tracking.store import tracking_address
from pipelines.command import parser_of, run_command
from pipelines.settings import validate_params
from pipelines.tracked import PROJECT_FILES, run_files, run_identity, run_name

log = logging.getLogger("lmlab")


def main() -> int:
    """Fill in the run of params.yaml and reports/, and say what was done."""
    parser_of("track", __doc__).options()
    project = Path.cwd()
    params = read_params(project / "params.yaml")
    validate_params(params)
    source_digest = read_seal(project / PROJECT_FILES["tokens"])["source"]
    identity = run_identity(project, params, source_digest, name=run_name(params), parent=None)
    paths = {name: project / path for name, path in PROJECT_FILES.items()}
    # MLflow takes seconds to import.
    log.info("looking up the run in %s", tracking_address(project))
    done = track(project, identity, run_files(paths))
    print(f"MLflow run {done.run_id}: {'filled in ' + ', '.join(done.logged) if done.logged else 'complete already'}")
    return 0


if __name__ == "__main__":
    run_command(main)
