"""Side-by-side timing: workers that do the same work in turns, commands in turns; medians of CPU and wall seconds.

The turns alternate within one run, so that a busy machine slows both sides alike. BLAS, ITK and numba have one thread.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("name", "peer", "ours_s", "peer_s", "ratio", "max_rel_diff", "size", "peak_mib")
THREADS = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    ),
    "1",
)


class Usage(NamedTuple):
    """Seconds of wall and CPU (with children), and the largest process's peak memory in MiB."""

    wall: float
    cpu: float
    peak_mib: float


class Worker:
    """A process that does its work once for every line it reads, and answers with JSON: {cpu, wall, peak_mib}."""

    def __init__(self, command: Sequence[Any], log: Path) -> None:
        self.log = log.open("w")
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=os.environ | THREADS,
        )

    def turn(self) -> Usage:
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError(f"worker stopped, see {self.log.name}") from None
        for line in self.process.stdout:
            if line.startswith("{"):  # libraries print, too
                answer = json.loads(line)
                return Usage(answer["wall"], answer["cpu"], answer["peak_mib"])
        raise RuntimeError(f"worker stopped, see {self.log.name}")

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # a worker that has stopped reads no more
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


def command(arguments: Sequence[Any], log: Path) -> Usage:
    """Run one command to its end; what it prints goes to `log`. Raises RuntimeError when it fails.

    Its peak memory is not known: the system's figure starts at what this process had when it forked.
    """
    start = time.perf_counter()
    with log.open("w") as stream:
        process = subprocess.Popen(list(map(str, arguments)), stdout=stream, stderr=stream, env=os.environ | THREADS)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{Path(str(arguments[0])).name} failed, see {log}")
    return Usage(time.perf_counter() - start, used.ru_utime + used.ru_stime, math.nan)


def interleaved(ours: Callable[[], Usage], peer: Callable[[], Usage], rounds: int) -> tuple[Usage, Usage]:
    """Medians of `rounds` turns of either side, alternating."""
    turns: tuple[list[Usage], list[Usage]] = ([], [])
    for _ in range(rounds):
        for side, task in zip(turns, (ours, peer), strict=True):
            side.append(task())
    medians = (Usage(*(statistics.median(values) for values in zip(*side, strict=True))) for side in turns)
    return tuple(medians)


def row(name: str, peer: str, ours_s: float, peer_s: float, **rest: Any) -> dict[str, Any]:
    """One line of bench.csv; rest: max_rel_diff, size, peak_mib."""
    return {"name": name, "peer": peer, "ours_s": ours_s, "peer_s": peer_s, "ratio": peer_s / ours_s} | rest
