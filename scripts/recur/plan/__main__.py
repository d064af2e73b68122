"""Print every file that a run of a study makes: `PYTHONPATH=scripts python -m recur.plan config.yaml`."""

import argparse

from recur.cli import reported
from recur.plan.outputs import everything
from recur.study.file import resolve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recur.plan", description=__doc__)
    parser.add_argument("study", help="study file")
    print("\n".join(everything(resolve(parser.parse_args().study))))


if __name__ == "__main__":
    with reported():
        main()
