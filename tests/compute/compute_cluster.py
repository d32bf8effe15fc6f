"""Somebody else's Dask cluster, by Dask's own commands, with certificates, as people run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distributed.security import Security

from gif_dash.compute.dask_executor import Cluster


@dataclass
class Foreign:
    cluster: Cluster
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]
    again: Callable[[], None]  #: starts a scheduler at the same address, and a worker


@contextmanager
def cluster(folder: Path, workers: int = 1) -> Iterator[Foreign]:
    """A scheduler and its workers; what they inherit of the environment decides where they compute and keep things."""
    security = Security.temporary()  # type: ignore[no-untyped-call]
    pem = folder / "pem"
    pem.mkdir()
    for name in ("tls_ca_file", "tls_client_cert", "tls_client_key"):
        (pem / name).write_text(getattr(security, name))
    ca, cert, key = (pem / name for name in ("tls_ca_file", "tls_client_cert", "tls_client_key"))
    common = ["--scheduler-file", str(folder / "scheduler.json"), "--no-dashboard"]
    common += [f"--tls-ca-file={ca}", f"--tls-cert={cert}", f"--tls-key={key}"]
    here = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *arguments, *common]
        environment = {**os.environ, "PYTHONPATH": here}
        return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)

    def begin(port: str, count: int) -> None:
        started.append(start("scheduler", "--protocol=tls", "--host=127.0.0.1", f"--port={port}"))
        started.extend(start("worker", "--nthreads=4", "--local-directory", str(folder)) for _ in range(count))

    started: list[subprocess.Popen[bytes]] = []
    begin("0", workers)
    try:
        address = _address(folder / "scheduler.json")
        port = address.rpartition(":")[2]
        where = Cluster(address, ca, cert, key)
        yield Foreign(where, started[0], started[1:], lambda: begin(port, 1))
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)


def _address(file: Path) -> str:
    limit = time.monotonic() + 60
    while True:
        try:
            return str(json.loads(file.read_text())["address"])
        except (OSError, ValueError):  # not there, or half written
            assert time.monotonic() < limit, "the scheduler did not start"
            time.sleep(0.05)
