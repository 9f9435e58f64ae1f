r"""Starts spark-city.py on EMR: as a step of a cluster on EC2, or as a job run of EMR Serverless.

    python infra/emr/submit.py ec2 --cluster j-123 --script s3://BUCKET/spark-city.py -- --lake s3://BUCKET/city \
        --source citystream --bootstrap-servers BROKER:9098
    python infra/emr/submit.py serverless --application 00f --role arn:aws:iam::1:role/job \
        --archive s3://BUCKET/citystream-env.tar.gz --script s3://BUCKET/spark-city.py -- --lake s3://BUCKET/city ...

What stands after `--` goes to spark-city.py. `--dry-run` prints the request and sends nothing. Needs boto3, which
`pip install 'citystream[aws]'` brings, and the credentials that it finds.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

# Where EMR keeps the Delta jars from release 7.0 on.
DELTA_JARS = "/usr/share/aws/delta/lib/delta-spark.jar,/usr/share/aws/delta/lib/delta-storage.jar"
DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
# The interpreter of the archive, as driver and executors see it once Spark has unpacked it.
UNPACKED = "./environment/bin/python"


def main(arguments: Sequence[str] | None = None) -> int:
    """Sends the request, or prints it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = given.index("--") if "--" in given else len(given)
    options, job = _parser().parse_args(given[:cut]), given[cut + 1 :]
    service, operation, request = serverless(options, job) if options.kind == "serverless" else ec2(options, job)
    if options.dry_run:
        print(json.dumps(request, indent=2))
        return 0
    import boto3  # noqa: PLC0415 - a dry run needs none

    client = boto3.client(service, region_name=options.region)
    answer = getattr(client, operation)(**request)
    print(answer.get("jobRunId") or answer["StepIds"][0])
    return 0


def ec2(options: argparse.Namespace, job: Sequence[str]) -> tuple[str, str, dict[str, Any]]:
    """The request that adds a step to a cluster: spark-submit in cluster mode."""
    python = UNPACKED if options.archive else options.python
    conf = {
        "spark.pyspark.python": python,
        # In cluster mode the driver is YARN's, and has no other way to its interpreter.
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON": python,
        "spark.executorEnv.PYSPARK_PYTHON": python,
        **_common(options),
    }
    if options.archive:
        conf["spark.yarn.dist.archives"] = f"{options.archive}#environment"
    command = ["spark-submit", "--deploy-mode", "cluster", *_flags(conf), options.script, *job]
    step = {
        "Name": options.name,
        "ActionOnFailure": "CONTINUE",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": command},
    }
    return "emr", "add_job_flow_steps", {"JobFlowId": options.cluster, "Steps": [step]}


def serverless(options: argparse.Namespace, job: Sequence[str]) -> tuple[str, str, dict[str, Any]]:
    """The request that starts a job run; its Python comes from the archive."""
    conf = {
        "spark.archives": f"{options.archive}#environment",
        "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": UNPACKED,
        "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": UNPACKED,
        "spark.executorEnv.PYSPARK_PYTHON": UNPACKED,
        **_common(options),
    }
    request: dict[str, Any] = {
        "applicationId": options.application,
        "executionRoleArn": options.role,
        "name": options.name,
        "executionTimeoutMinutes": options.timeout,
        "jobDriver": {
            "sparkSubmit": {
                "entryPoint": options.script,
                "entryPointArguments": list(job),
                "sparkSubmitParameters": shlex.join(_flags(conf)),
            }
        },
    }
    if options.logs:
        logs = {"s3MonitoringConfiguration": {"logUri": options.logs}}
        request["configurationOverrides"] = {"monitoringConfiguration": logs}
    return "emr-serverless", "start_job_run", request


def _common(options: argparse.Namespace) -> dict[str, str]:
    conf = {
        "spark.executor.cores": str(options.executor_cores),
        "spark.executor.memory": options.executor_memory,
        "spark.driver.memory": options.driver_memory,
        # Rust and Arrow hold their rows outside of the JVM.
        "spark.executor.memoryOverhead": options.overhead,
    }
    if options.executors:
        conf |= {"spark.executor.instances": str(options.executors), "spark.dynamicAllocation.enabled": "false"}
    if options.delta_jars:
        conf |= {"spark.jars": options.delta_jars, **DELTA}
    return conf | dict(pair.split("=", 1) for pair in options.conf)


def _flags(conf: dict[str, str]) -> list[str]:
    return [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--script", required=True, help="spark-city.py on S3 (`citystream jobs copy DIR` gives it)")
    shared.add_argument("--name", default="spark-city", help="of the step or job run")
    shared.add_argument("--executors", type=int, help="a fixed number; else Spark's dynamic allocation")
    shared.add_argument("--executor-cores", type=int, default=4)
    shared.add_argument("--executor-memory", default="8g")
    shared.add_argument("--driver-memory", default="4g")
    shared.add_argument("--overhead", default="4g", help="an executor's memory outside of the JVM")
    shared.add_argument("--delta-jars", default=DELTA_JARS, help="'' for --sink parquet, or where the cluster has them")
    shared.add_argument("--conf", action="append", default=[], metavar="NAME=VALUE", help="more of Spark's; goes first")
    shared.add_argument("--region")
    shared.add_argument("--dry-run", action="store_true", help="print the request and send nothing")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    cluster = kinds.add_parser("ec2", parents=[shared], help="a step of a cluster")
    cluster.add_argument("--cluster", required=True, help="its id, which begins with j-")
    cluster.add_argument("--archive", help="of archive.sh, on S3; else what bootstrap.sh has installed")
    cluster.add_argument("--python", default="/usr/bin/python3.11", help="that bootstrap.sh has installed it for")
    application = kinds.add_parser("serverless", parents=[shared], help="a job run of an EMR Serverless application")
    application.add_argument("--application", required=True, help="its id")
    application.add_argument("--role", required=True, help="ARN of the job's role")
    application.add_argument("--archive", required=True, help="of archive.sh, on S3")
    application.add_argument("--logs", help="s3://bucket/prefix/")
    application.add_argument("--timeout", type=int, default=120, help="minutes after which the run is stopped")
    return parser


if __name__ == "__main__":
    sys.exit(main())
