#!/usr/bin/env bash
# A Python environment with citystream as one file, for --archives and for EMR Serverless' spark.archives.
#
#   infra/emr/archive.sh dist/citystream-*.whl citystream-env.tar.gz
#   aws s3 cp citystream-env.tar.gz s3://BUCKET/
#
# Run it where the interpreter is the one that executors have at the same path: on Amazon Linux 2023 of the same
# architecture, since the environment holds compiled packages and links to its interpreter. PYTHON chooses it.
set -euo pipefail

wheel=${1:?usage: archive.sh WHEEL OUTPUT.tar.gz}
output=${2:?usage: archive.sh WHEEL OUTPUT.tar.gz}
python=${PYTHON:-python3.11}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/environment"
pip() { "$folder/environment/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
pip install "citystream[spark,aws] @ file://$(realpath "$wheel")"
# In an environment of its own, so that it is no part of the archive.
"$python" -m venv "$folder/packer"
"$folder/packer/bin/python" -m pip --quiet --disable-pip-version-check install "venv-pack==0.2.0" "setuptools<81"
"$folder/packer/bin/venv-pack" --prefix "$folder/environment" --output "$output" --force --quiet
