"""A Ray cluster of two nodes with one processor each, on 127.0.0.1, in a process of its own.

python -m tests.ray_nodes prints the cluster's address and the process of each node, and kills the second node when it
reads a line; it ends everything when there is nothing more to read.
"""

import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.laws.imports import PROJECT

# Ray takes the machine's outer address even for 127.0.0.1, unless the machine is told to be no part of a cluster.
ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}


class Nodes(NamedTuple):
    """A cluster."""

    address: str
    environment: dict[str, str]
    """What a program that connects to it needs in its environment."""
    raylets: tuple[int, int]
    """Process ids of the nodes' managers, whose children the workers are."""
    process: subprocess.Popen[str]

    def kill_second(self) -> None:
        """Kill all processes of the second node."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("kill\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "killed\n"


@contextmanager
def two_nodes() -> Iterator[Nodes]:
    """The cluster while the block works."""
    environment = ON_LOOPBACK | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.ray_nodes"],
        cwd=PROJECT,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        yield Nodes(told["address"], environment, tuple(told["raylets"]), process)


def main() -> None:
    """Start the nodes, and end them when standard input ends."""
    from ray._private.node import Node
    from ray.cluster_utils import Cluster

    logging.disable(logging.INFO)
    # Paths of sockets must be short.
    folder = tempfile.mkdtemp(prefix="ray-")
    # Ray writes the cluster's address into another folder, which is not there where it never ran.
    os.environ["RAY_TMPDIR"] = folder
    os.mkdir(f"{folder}/ray")
    try:
        places = {"node_ip_address": "127.0.0.1", "num_cpus": 1, "object_store_memory": 100 << 20}
        cluster = Cluster(
            initialize_head=True, head_node_args={**places, "include_dashboard": False, "temp_dir": folder}
        )
        second = cluster.add_node(**places)

        def raylet(node: Node) -> int:
            [process] = node.all_processes["raylet"]
            return process.process.pid

        assert cluster.head_node is not None
        print(json.dumps({"address": cluster.address, "raylets": [raylet(cluster.head_node), raylet(second)]}))
        sys.stdout.flush()
        for _ in sys.stdin:
            cluster.remove_node(second, allow_graceful=False)
            print("killed", flush=True)
        cluster.shutdown()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
