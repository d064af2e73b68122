"""The project's side of the comparison with pyradiomics' command line: two processes share the patients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> None:
    folders = sys.argv[1:]
    worker = Path(__file__).with_name("worker.py")
    code = (
        f"import sys; sys.path.insert(0, {str(worker.parent)!r})\n"
        "from pathlib import Path; from worker import ours\n"
        "for case in sys.argv[1:]: ours(Path(case))()"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", code, *folders[k::2]]) for k in range(2)]
    if any([job.wait() for job in jobs]):
        sys.exit(1)


if __name__ == "__main__":
    main()
