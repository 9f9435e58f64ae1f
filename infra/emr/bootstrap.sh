#!/usr/bin/env bash
# Bootstrap action of EMR on EC2: installs citystream for the Python that Spark's driver and executors run.
#
#   aws emr create-cluster ... --bootstrap-actions \
#     Path=s3://BUCKET/bootstrap.sh,Args=[s3://BUCKET/citystream-0.1.0-cp310-abi3-manylinux_2_28_x86_64.whl]
#
# Arguments: the wheel (s3://, or a path on the node), then the interpreter, /usr/bin/python3.11 where it is not given.
# Start jobs with the same one: `submit.py ec2 --python` sets PYSPARK_PYTHON.
set -euo pipefail

wheel=${1:?usage: bootstrap.sh WHEEL [PYTHON]}
python=${2:-/usr/bin/python3.11}
command -v "$python" >/dev/null || { echo "bootstrap.sh: there is no $python on this release; name another" >&2; exit 1; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
case $wheel in
  s3://*) aws s3 cp --only-show-errors "$wheel" "$folder/" ;;
  *) cp "$wheel" "$folder/" ;;
esac
file=$(echo "$folder"/*.whl)

# EMR 7's python3.11 comes without pip.
"$python" -m pip --version >/dev/null 2>&1 || sudo "$python" -m ensurepip
sudo "$python" -m pip install --quiet --disable-pip-version-check "citystream[spark,aws] @ file://$file"
"$python" -c 'import citystream; print("citystream", citystream.__version__)'
