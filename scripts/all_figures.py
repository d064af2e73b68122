"""Draw all figures of a study again; the libraries, which cost most of the time, are loaded once for many figures."""

import argparse
from concurrent.futures import ProcessPoolExecutor

from figure import write
from recur.cli import progress, reported
from recur.tables import StudyError, read_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=read_json, required=True, help="JSON: a list of the arguments of figure.py")
    parser.add_argument("--processes", type=int, required=True)
    args = parser.parse_args()
    problems = []
    with reported():
        with ProcessPoolExecutor(args.processes) as pool:
            drawn = [pool.submit(write, arguments) for arguments in args.figures]
            for figure in progress(drawn, len(drawn), "figures"):
                try:
                    figure.result()
                except StudyError as error:  # the others are drawn all the same
                    problems += error.problems
        if problems:
            raise StudyError(problems)


if __name__ == "__main__":
    main()
