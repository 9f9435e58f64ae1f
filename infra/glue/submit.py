r"""Makes or renews a Glue job of spark-city.py, and starts it.

    python infra/glue/submit.py --role GlueRole --script s3://BUCKET/spark-city.py \
        --wheel s3://BUCKET/citystream-0.1.0-cp310-abi3-manylinux_2_28_x86_64.whl -- --lake s3://BUCKET/city

What stands after `--` goes to spark-city.py, in pairs of --name and value. Glue 5 is Spark 3.5, which has no Python
data sources, so the job reads Kafka by Spark's own connector. `--dry-run` prints both requests and sends nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

DELTA = (
    "spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension "
    "--conf spark.sql.catalog.spark_catalog=org.apache.spark.sql.delta.catalog.DeltaCatalog"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Sends the requests, or prints them."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = given.index("--") if "--" in given else len(given)
    options, job = _parser().parse_args(given[:cut]), given[cut + 1 :]
    definition = job_of(options)
    run = {"JobName": options.name, "Arguments": pairs(job)}
    if options.dry_run:
        print(json.dumps({"job": definition, "run": run}, indent=2))
        return 0
    import boto3  # noqa: PLC0415 - a dry run needs none

    client = boto3.client("glue", region_name=options.region)
    try:
        client.update_job(JobName=options.name, JobUpdate=definition)
    except client.exceptions.EntityNotFoundException:
        client.create_job(Name=options.name, **definition)
    print(client.start_job_run(**run)["JobRunId"])
    return 0


def job_of(options: argparse.Namespace) -> dict[str, Any]:
    """The job's definition."""
    return {
        "Role": options.role,
        "Command": {"Name": "glueetl", "ScriptLocation": options.script, "PythonVersion": "3"},
        "GlueVersion": options.glue,
        "WorkerType": options.worker,
        "NumberOfWorkers": options.workers,
        "Timeout": options.timeout,
        "DefaultArguments": {
            # A wheel by its address; the others by name. Glue compiles nothing.
            "--additional-python-modules": f"{options.wheel},pyarrow>=14,duckdb>=1.5.5",
            "--datalake-formats": "delta",
            "--conf": DELTA,
            "--enable-metrics": "true",
        },
    }


def pairs(job: Sequence[str]) -> dict[str, str]:
    """The job's flags as Glue takes them: each with its value, and once."""
    if len(job) % 2 or any(not name.startswith("--") for name in job[::2]):
        sys.exit("after -- come pairs of --name and value")
    twice = sorted({name for name in job[::2] if job[::2].count(name) > 1})
    if twice:
        sys.exit(f"Glue takes each flag once, and {twice[0]} is given twice; topics can stand in one, with commas")
    return dict(zip(job[::2], job[1::2], strict=True))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--role", required=True, help="name or ARN of the job's role")
    parser.add_argument("--script", required=True, help="spark-city.py on S3 (`citystream jobs copy DIR` gives it)")
    parser.add_argument("--wheel", required=True, help="citystream's, on S3")
    parser.add_argument("--name", default="spark-city")
    parser.add_argument("--glue", default="5.0", help="Glue's version")
    parser.add_argument("--worker", default="G.1X", help="kind of worker: G.1X has 4 cores and 16 GB")
    parser.add_argument("--workers", type=int, default=3, help="the driver's among them")
    parser.add_argument("--timeout", type=int, default=120, help="minutes after which a run is stopped")
    parser.add_argument("--region")
    parser.add_argument("--dry-run", action="store_true", help="print the requests and send nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
