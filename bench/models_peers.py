"""The peers of bench/models.py that have their own environment (bench/requirements.txt).

usage: models_peers.py FOLDER {icc,mrmr}; reads FOLDER/TASK.npz, writes FOLDER/TASK.json: cpu, wall and the values.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")


def icc(ratings: np.ndarray) -> list[float]:
    """ICC(2,1) of every feature of ratings (n, k, p)."""
    import pingouin

    n, k, p = ratings.shape
    frame = pd.DataFrame({"subject": np.repeat(np.arange(n), k), "reader": np.tile(np.arange(k), n)})
    values = []
    for j in range(p):
        frame["value"] = ratings[:, :, j].ravel()
        table = pingouin.intraclass_corr(frame, targets="subject", raters="reader", ratings="value").set_index("Type")
        values.append(
            float(table["ICC"][[name for name in table.index if str(name).upper() in ("ICC2", "ICC(A,1)")][0]])
        )
    return values


def mrmr(features: np.ndarray, time_to_event: np.ndarray) -> list[int]:
    """30 features; mrmr-selection has no relevance for survival, so that of a continuous outcome stands in."""
    from mrmr import mrmr_regression

    frame = pd.DataFrame(features, columns=range(features.shape[1]))
    return [int(j) for j in mrmr_regression(frame, pd.Series(time_to_event), K=30, show_progress=False, n_jobs=1)]


def main() -> None:
    folder, task = Path(sys.argv[1]), sys.argv[2]
    data = np.load(folder / f"{task}.npz")
    work = {"icc": lambda: icc(data["ratings"]), "mrmr": lambda: mrmr(data["x"], data["time"])}[task]
    cpu, wall = time.process_time(), time.perf_counter()
    values = work()
    spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    (folder / f"{task}.json").write_text(json.dumps(spent | {"values": values}))


if __name__ == "__main__":
    main()
