"""make bench: every comparison that this machine has files and peers for, printed and in results/bench/bench.csv."""

from __future__ import annotations

import argparse
import csv
import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from bench.common import COLUMNS  # noqa: E402

PARTS = ("features", "models")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="only these; all unless given")
    parser.add_argument("--rounds", type=int, default=3, help="turns of either side, of which the median counts")
    args = parser.parse_args()
    output = ROOT / "results" / "bench" / "bench.csv"
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS, restval="")
        table.writeheader()
        for part in args.parts or [part for part in PARTS if (ROOT / "bench" / f"{part}.py").exists()]:
            options = {"rounds": args.rounds} if part == "features" else {}
            for row in importlib.import_module(f"bench.{part}").rows(**options):
                table.writerow(row)
                stream.flush()
                print(described(row), flush=True)


def described(row: dict) -> str:
    rest = [f"largest relative difference {row['max_rel_diff']:.1e}"] if row.get("max_rel_diff") is not None else []
    rest += [f"peak {row['peak_mib']:.0f} MiB"] if row.get("peak_mib") else []
    times = f"{row['ours_s']:.3g} s"
    if row["peer"]:
        times += f", {row['peer']} {row['peer_s']:.3g} s: {row['ratio']:.1f} x"
    return "; ".join([f"{row['name']}: {times}", *rest, str(row.get("size", ""))])


if __name__ == "__main__":
    main()
