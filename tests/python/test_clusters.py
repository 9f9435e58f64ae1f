"""What starts spark-city.py on EMR, Glue and Databricks, as far as it goes without a cloud."""

from __future__ import annotations

import glob
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import py4j
import pyspark
import pytest
import yaml
from botocore import xform_name
from botocore.session import Session
from botocore.validate import ParamValidator
from scripts import script

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
JOB = ROOT / "python" / "citystream" / "jobs" / "spark-city.py"
WHEEL = "s3://b/citystream-0.1.0-cp310-abi3-manylinux_2_28_x86_64.whl"
SPARK_CITY = ["--lake", "s3://b/city", "--bootstrap-servers", "k:9098", "--source", "citystream"]


@pytest.fixture(scope="module")
def emr():
    with script(INFRA / "emr" / "submit.py", "emr_submit") as module:
        yield module


@pytest.fixture(scope="module")
def glue():
    with script(INFRA / "glue" / "submit.py", "glue_submit") as module:
        yield module


@pytest.fixture(scope="module")
def job():
    with script(JOB, "spark_city_job") as module:
        yield module


def check(service, operation, request):
    """Compares a request with AWS's own model of the call: names, types, what must be there, lengths."""
    model = Session().get_service_model(service, "2017-03-31" if service == "glue" else None)
    names = {xform_name(name): name for name in model.operation_names}
    report = ParamValidator().validate(request, model.operation_model(names[operation]).input_shape)
    assert not report.has_errors(), report.generate_report()


def printed(module, capsys, *arguments):
    assert module.main([*arguments, "--dry-run", "--", *SPARK_CITY]) == 0
    return json.loads(capsys.readouterr().out)


def conf_of(words):
    return dict(words[n + 1].split("=", 1) for n, word in enumerate(words) if word == "--conf")


def test_a_wrong_request_would_be_found():
    with pytest.raises(AssertionError, match="applicationID"):
        check("emr-serverless", "start_job_run", {"applicationID": "x", "executionRoleArn": "y"})


def test_a_step_of_a_cluster_runs_the_script_with_its_python(emr, job, capsys):
    request = printed(emr, capsys, "ec2", "--cluster", "j-1", "--script", "s3://b/spark-city.py", "--executors", "3")
    check("emr", "add_job_flow_steps", request)
    (step,) = request["Steps"]
    assert step["HadoopJarStep"]["Jar"] == "command-runner.jar"
    words = step["HadoopJarStep"]["Args"]
    at = words.index("s3://b/spark-city.py")
    assert words[:3] == ["spark-submit", "--deploy-mode", "cluster"]
    assert job.options_of(words[at + 1 :]).lake == "s3://b/city"
    conf = conf_of(words[:at])
    python = "/usr/bin/python3.11"
    assert {conf[name] for name in conf if "python" in name.lower()} == {python}
    assert (conf["spark.executor.instances"], conf["spark.dynamicAllocation.enabled"]) == ("3", "false")
    assert "DeltaCatalog" in conf["spark.sql.catalog.spark_catalog"]


def test_a_step_takes_its_python_from_an_archive(emr, capsys):
    options = ["ec2", "--cluster", "j-1", "--script", "s3://b/j.py", "--archive", "s3://b/env.tar.gz"]
    request = printed(emr, capsys, *options, "--delta-jars", "", "--conf", "spark.executor.memory=2g")
    conf = conf_of(request["Steps"][0]["HadoopJarStep"]["Args"])
    assert conf["spark.yarn.dist.archives"] == "s3://b/env.tar.gz#environment"
    assert conf["spark.executorEnv.PYSPARK_PYTHON"] == "./environment/bin/python"
    assert conf["spark.executor.memory"] == "2g"
    assert not any("delta" in value for value in conf.values())


def test_a_serverless_run_has_its_archive_role_and_logs(emr, job, capsys):
    options = ["serverless", "--application", "00fabc", "--role", "arn:aws:iam::123456789012:role/job"]
    options += ["--archive", "s3://b/env.tar.gz", "--script", "s3://b/spark-city.py", "--logs", "s3://b/logs/"]
    request = printed(emr, capsys, *options)
    submit = request["jobDriver"]["sparkSubmit"]
    assert job.options_of(submit["entryPointArguments"]).source == "citystream"
    conf = conf_of(shlex.split(submit["sparkSubmitParameters"]))
    assert conf["spark.archives"] == "s3://b/env.tar.gz#environment"
    interpreters = [name for name in conf if name.endswith(("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"))]
    assert len(interpreters) == 3
    assert {conf[name] for name in interpreters} == {"./environment/bin/python"}
    logs = request["configurationOverrides"]["monitoringConfiguration"]["s3MonitoringConfiguration"]
    assert logs == {"logUri": "s3://b/logs/"}
    # The token that the client makes by itself.
    check("emr-serverless", "start_job_run", {"clientToken": "x", **request})


def test_what_is_missing_is_asked_for(emr, capsys):
    with pytest.raises(SystemExit):
        emr.main(["serverless", "--application", "00f", "--script", "s3://b/j.py", "--role", "r"])
    assert "--archive" in capsys.readouterr().err


def test_a_glue_job_brings_wheel_delta_and_the_job_s_flags(glue, job, capsys):
    request = printed(glue, capsys, "--role", "GlueRole", "--script", "s3://b/spark-city.py", "--wheel", WHEEL)
    check("glue", "create_job", {"Name": "spark-city", **request["job"]})
    check("glue", "update_job", {"JobName": "spark-city", "JobUpdate": request["job"]})
    check("glue", "start_job_run", request["run"])
    modules = request["job"]["DefaultArguments"]["--additional-python-modules"].split(",")
    assert modules[0] == WHEEL
    # As Glue hands them to the script.
    given = [word for pair in request["run"]["Arguments"].items() for word in pair]
    options = job.options_of(["--JOB_RUN_ID", "jr_1", *given])
    assert (options.lake, options.bootstrap_servers) == ("s3://b/city", "k:9098")


def test_glue_takes_flags_in_pairs(glue):
    for flags in (["--no-cache"], ["lake", "x"], ["--topic", "gps=a", "--topic", "vehicle=b"]):
        with pytest.raises(SystemExit, match="--"):
            glue.pairs(flags)


def bundle():
    folder = INFRA / "databricks"
    whole = yaml.safe_load((folder / "databricks.yml").read_text())
    (resources,) = (folder / pattern for pattern in whole["include"])
    found = [yaml.safe_load(Path(path).read_text()) for path in glob.glob(str(resources))]  # noqa: PTH207
    return whole, {name: job for each in found for name, job in each["resources"]["jobs"].items()}


def test_the_bundle_names_nothing_that_is_not_there():
    whole, jobs = bundle()
    text = "".join(path.read_text() for path in (INFRA / "databricks").rglob("*.yml"))
    used = set(re.findall(r"\$\{var\.(\w+)\}", text))
    assert used == set(whole["variables"]), "each variable is used, and each that is used is there"
    assert [name for name, target in whole["targets"].items() if target.get("default")] == ["dev"]
    assert {target["mode"] for target in whole["targets"].values()} == {"development", "production"}
    for target in whole["targets"].values():
        assert set(target.get("resources", {}).get("jobs", {})) <= set(jobs)
    # Paths count from the file that they stand in.
    resources = INFRA / "databricks" / "resources"
    for each in jobs.values():
        for task in each["tasks"]:
            assert (resources / task["spark_python_task"]["python_file"]).resolve() == JOB
    (built,) = whole["artifacts"]["citystream"]["files"]
    assert (INFRA / "databricks" / built["source"]).parent.resolve() == ROOT / "dist"
    assert "dist" in (ROOT / "Makefile").read_text().split("wheels:")[1][:400]


def test_the_bundle_s_tasks_have_a_cluster_or_an_environment_and_the_job_s_flags(job):
    _, jobs = bundle()
    for name, each in jobs.items():
        clusters = {cluster["job_cluster_key"] for cluster in each.get("job_clusters", [])}
        environments = {e["environment_key"]: e["spec"]["dependencies"] for e in each.get("environments", [])}
        for task in each["tasks"]:
            options = job.options_of(task["spark_python_task"]["parameters"])
            if name.endswith("serverless"):
                assert task["environment_key"] in environments
                assert any(d.endswith(".whl") for d in environments[task["environment_key"]])
                assert options.no_cache
                assert "libraries" not in task, "serverless tasks take what their environment has"
            else:
                assert task["job_cluster_key"] in clusters
                assert any("whl" in library for library in task["libraries"])


@pytest.fixture(scope="module")
def wheel():
    (found,) = (ROOT / "target" / "wheel").glob("*.whl")
    return found


@pytest.mark.timeout(600)
def test_the_archive_s_python_has_everything_and_nothing_of_this_machine(wheel, tmp_path):
    archive = tmp_path / "env.tar.gz"
    # It takes a path to the interpreter itself: this one may be a virtual environment's.
    python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    # Nothing here is about the bytecode of what is installed, which takes long to compile.
    env = {**os.environ, "PYTHON": str(python), "PIP_NO_COMPILE": "1"}
    subprocess.run([INFRA / "emr" / "archive.sh", wheel, archive], check=True, env=env)
    unpacked = tmp_path / "node" / "environment"
    unpacked.mkdir(parents=True)
    subprocess.run(["tar", "-xzf", archive, "-C", unpacked], check=True)
    program = (
        "import citystream as cs, pyspark_citystream, pyarrow, pandas, boto3, aws_msk_iam_sasl_signer;"
        "from citystream import spark;"
        "assert cs.__file__.startswith(PREFIX), cs.__file__;"
        "print(sum(1 for _ in cs.City(vehicles=10, duration='5min').rows('weather')))"
    ).replace("PREFIX", repr(str(unpacked)))
    # PySpark is the cluster's own, found as Spark lets its Python processes find it.
    spark = tmp_path / "spark" / "python"
    spark.mkdir(parents=True)
    for package in (pyspark, py4j):
        (spark / package.__name__).symlink_to(Path(package.__file__).parent)
    clean = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(spark)}
    ran = subprocess.run(
        [unpacked / "bin" / "python", "-c", program],
        check=True,
        env=clean,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert int(ran.stdout) > 0
    jobs = tmp_path / "jobs"
    subprocess.run([unpacked / "bin" / "python", "-m", "citystream", "jobs", "copy", jobs], check=True, env=clean)
    assert (jobs / "spark-city.py").read_bytes() == JOB.read_bytes()


def test_the_bootstrap_action_installs_the_wheel_for_the_interpreter_named(wheel, tmp_path):
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    # What the wheel needs is found here, so that nothing is fetched.
    (site,) = venv.glob("lib/python3.*/site-packages")
    rest = tmp_path / "rest"
    rest.mkdir()
    for found in Path(sys.prefix).glob("lib/python3.*/site-packages/*"):
        if not found.name.startswith("citystream"):
            (rest / found.name).symlink_to(found)
    (site / "rest.pth").write_text(f"{rest}\n")
    tools = tmp_path / "bin"
    tools.mkdir()
    # The bucket is a folder of this machine, and nobody is asked for a password.
    (tools / "aws").write_text(f'#!/bin/bash\n[[ "$*" == "s3 cp --only-show-errors s3://b/"* ]] && cp {wheel} "$5"\n')
    (tools / "sudo").write_text('#!/bin/bash\nexec "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    env = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(tmp_path), "PIP_NO_INDEX": "1"}
    run = [INFRA / "emr" / "bootstrap.sh", f"s3://b/{wheel.name}", venv / "bin" / "python"]
    ran = subprocess.run(run, check=False, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("citystream 0."), ran.stdout
    assert list(site.glob("citystream-*.dist-info"))
    wrong = subprocess.run([*run[:2], "/no/python3"], check=False, env=env, capture_output=True, text=True)
    assert (wrong.returncode, "there is no /no/python3" in wrong.stderr) == (1, True)
