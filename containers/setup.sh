#!/bin/sh
# Inside an image of Debian 12: the packages that `make environment` needs, then the environment of the lock, in
# /opt/recurrence/.venv. Containerfile and apptainer.def both run this and nothing else.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# git: provenance.json names the commit
apt-get install -y -qq --no-install-recommends ca-certificates gcc git libc6-dev make procps python3 python3-dev python3-venv
git config --system --add safe.directory '*'
make -C /opt/recurrence environment PYTHON=python3
rm -rf /var/lib/apt/lists/* ~/.cache
