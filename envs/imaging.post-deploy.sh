#!/bin/sh
# Run by Snakemake once, inside the new environment. Only the source of pyradiomics works on Python 3.11.
# Snakemake copies this script away from its folder, so the line of pyradiomics.txt is repeated here.
set -eu
cat > "$CONDA_PREFIX/pyradiomics.txt" <<'LOCK'
pyradiomics==3.0.1 \
    --hash=sha256:47c57f441d6cb7973fa3b2ea48d3948df78e3348e1c69e1e2ff19001601fc2f5
LOCK
PYTHONNOUSERSITE=1 python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps \
    --require-hashes -r "$CONDA_PREFIX/pyradiomics.txt"
