"""Autologging, the command line, many processes at once, and a whole server brought over."""

import os
import shutil
import subprocess
import sys
import textwrap

import mlflow
import pytest
from conftest import catena_only


def test_autologging_of_a_small_model(experiment, client):
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    mlflow.sklearn.autolog()
    try:
        x, y = load_iris(return_X_y=True)
        with mlflow.start_run() as run:
            LogisticRegression(max_iter=200).fit(x, y)
    finally:
        mlflow.sklearn.autolog(disable=True)
    stored = client.get_run(run.info.run_id)
    assert stored.data.params["max_iter"] == "200"
    assert stored.data.metrics["training_accuracy_score"] > 0.9
    assert stored.data.tags["estimator_name"] == "LogisticRegression"
    assert len(stored.outputs.model_outputs) == 1
    assert mlflow.sklearn.load_model(f"models:/{stored.outputs.model_outputs[0].model_id}").predict(x[:1])[0] == 0


def test_the_command_line(experiment, unique):
    def mlflow_cli(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "mlflow", *arguments], capture_output=True, text=True, timeout=120, env=os.environ
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    name = unique("cli")
    mlflow_cli("experiments", "create", "--experiment-name", name)
    assert name in mlflow_cli("experiments", "search")
    with mlflow.start_run(run_name="seen") as run:
        mlflow.log_text("x", "file.txt")
    assert run.info.run_id in mlflow_cli("runs", "list", "--experiment-id", experiment.experiment_id)
    assert "seen" in mlflow_cli("runs", "describe", "--run-id", run.info.run_id)
    assert "file.txt" in mlflow_cli("artifacts", "list", "--run-id", run.info.run_id)


def test_twenty_processes_log_at_once(experiment, client, tmp_path):
    """All on one run and on runs of their own; nothing is lost and nothing fails."""
    shared = client.create_run(experiment.experiment_id).info.run_id
    script = tmp_path / "writer.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys, time
            from mlflow import MlflowClient
            from mlflow.entities import Metric, Param, RunTag
            number, shared, me = sys.argv[1], sys.argv[2], int(sys.argv[3])
            client = MlflowClient()
            own = client.create_run(number, run_name=f"writer-{me}").info.run_id
            for i in range(10):
                metrics = [Metric(f"m{(i + k) % 10}", me, 1000 + i, me * 100 + i) for k in range(10)]
                client.log_batch(shared, metrics=metrics, tags=[RunTag(f"t{(i + me) % 5}", str(me))])
                client.log_batch(own, metrics=metrics, params=[Param(f"p{i}", str(i))])
            client.set_terminated(own)
            """
        )
    )
    # A deadlock is answered 500, and a client that tries again would hide it.
    env = {**os.environ, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    writers = [
        subprocess.Popen(
            [sys.executable, str(script), experiment.experiment_id, shared, str(i)], stderr=subprocess.PIPE, env=env
        )
        for i in range(20)
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=300)
        assert writer.returncode == 0, errors.decode()[-2000:]
    assert sum(len(client.get_metric_history(shared, f"m{k}")) for k in range(10)) == 20 * 100
    assert client.get_run(shared).data.metrics["m0"] == 19
    runs = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
    assert len(runs) == 20 and all(len(run.data.params) == 10 for run in runs)


@pytest.mark.skipif(not (shutil.which("java") and shutil.which("mvn")), reason="needs Java and Maven")
def test_the_client_for_java(unique, tmp_path):
    here = os.path.join(os.path.dirname(__file__), "..", "java")
    classpath = tmp_path / "classpath"
    subprocess.run(
        ["mvn", "-q", "-f", os.path.join(here, "pom.xml"), "dependency:build-classpath", f"-Dmdep.outputFile={classpath}"],
        check=True,
        timeout=300,
    )
    name = unique("java")
    done = subprocess.run(
        ["java", "-cp", classpath.read_text(), os.path.join(here, "Smoke.java"), os.environ["MLFLOW_TRACKING_URI"], name],
        capture_output=True,
        text=True,
        timeout=120,
    )
    facts = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert facts == {"status": "FINISHED", "loss": "NaN", "history": "2", "found": "1", "experiment": name}, done.stderr


@catena_only
def test_a_server_is_brought_over(unique, tmp_path, client):
    """mlflow-export-import: out of MLflow's file store, into this server."""
    pytest.importorskip("mlflow_export_import")
    name = unique("exported")
    source = f"sqlite:///{tmp_path}/source.db"
    script = textwrap.dedent(
        f"""
        import mlflow
        mlflow.set_tracking_uri("{source}")
        number = mlflow.create_experiment("{name}", artifact_location="{tmp_path}/artifacts")
        for i in range(3):
            with mlflow.start_run(experiment_id=number, run_name=f"run {{i}}"):
                mlflow.log_param("i", i)
                for step in range(5):
                    mlflow.log_metric("m", i * step, step=step)
                mlflow.log_text(f"text {{i}}", "out/note.txt")
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)

    def tool(module, tracking_uri, *arguments):
        done = subprocess.run(
            [sys.executable, "-m", f"mlflow_export_import.experiment.{module}", *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "MLFLOW_TRACKING_URI": tracking_uri},
        )
        assert done.returncode == 0, done.stdout + done.stderr

    tool("export_experiment", source, "--experiment", name, "--output-dir", str(tmp_path / "out"))
    tool("import_experiment", os.environ["MLFLOW_TRACKING_URI"], "--experiment-name", name, "--input-dir", str(tmp_path / "out"))
    experiment = client.get_experiment_by_name(name)
    runs = client.search_runs([experiment.experiment_id], order_by=["params.i ASC"])
    assert [run.data.metrics["m"] for run in runs] == [0, 4, 8]
    assert [run.info.run_name for run in runs] == ["run 0", "run 1", "run 2"]
    assert len(client.get_metric_history(runs[2].info.run_id, "m")) == 5
    assert mlflow.artifacts.load_text(f"runs:/{runs[1].info.run_id}/out/note.txt") == "text 1"


@catena_only
def test_a_run_tells_which_chain_version_it_evaluated(experiment, native, unique):
    name = unique("support")
    native.post("/prompts", {"name": name})
    native.post(f"/prompts/{name}/versions", {"content": {"type": "text", "text": "Help {{customer}}."}})
    native.post(
        "/model-endpoints",
        {"name": name, "protocol": "openai", "models": ["small"], "replicas": [{"baseUrl": "http://127.0.0.1:9/v1"}]},
    )
    native.post("/chains", {"name": name})
    native.post(
        f"/chains/{name}/versions",
        {"content": {"prompt": f"{name}@1", "generate": {"modelEndpoint": name, "model": "small"}}},
    )
    with mlflow.start_run(run_name="evaluation") as run:
        mlflow.set_tag("catena.chain", f"{name}@1")
        mlflow.log_metric("accuracy", 0.75)
    seen = native.get(f"/chains/{name}/versions/1/runs")
    assert [item["name"] for item in seen["items"]] == ["evaluation"]
    assert "0.75" in str(seen["items"][0])
