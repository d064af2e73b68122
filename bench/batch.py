"""Our side of the comparison with pyradiomics' command line: two processes share the phases of the patients."""

from __future__ import annotations

import multiprocessing
import sys
from itertools import product
from pathlib import Path

from worker import PHASES, our_extractor


def extract(folder: str, phase: str) -> None:
    our_extractor()(Path(folder), phase)


def main() -> None:
    our_extractor()  # imported once, before the processes part
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.starmap(extract, product(sys.argv[1:], PHASES), chunksize=1)


if __name__ == "__main__":
    main()
