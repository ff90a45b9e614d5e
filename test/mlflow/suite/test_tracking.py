import math
import time

import mlflow
import pytest
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException


def test_the_fluent_api_logs_a_run(experiment, client):
    with mlflow.start_run(run_name="first", tags={"team": "support"}, description="what it is about") as run:
        mlflow.log_param("lr", 0.01)
        mlflow.log_params({"epochs": 3, "optimizer": "adam"})
        for step in range(5):
            mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
        mlflow.log_metrics({"accuracy": 0.9, "f1": 0.8}, step=4)
        mlflow.set_tag("stage", "test")
        mlflow.set_tags({"a": "1", "b": "2"})
    stored = client.get_run(run.info.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "first"
    assert stored.info.end_time >= stored.info.start_time
    assert stored.info.experiment_id == experiment.experiment_id
    assert stored.data.params == {"lr": "0.01", "epochs": "3", "optimizer": "adam"}
    assert stored.data.metrics == {"loss": 0.2, "accuracy": 0.9, "f1": 0.8}
    assert stored.data.tags["team"] == "support"
    assert stored.data.tags["mlflow.runName"] == "first"
    assert stored.data.tags["mlflow.note.content"] == "what it is about"
    assert {"a": "1", "b": "2", "stage": "test"}.items() <= stored.data.tags.items()
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(s, 1.0 / (s + 1)) for s in range(5)]


def test_a_run_that_raises_has_failed(experiment, client):
    with pytest.raises(ZeroDivisionError):
        with mlflow.start_run() as run:
            1 / 0
    assert client.get_run(run.info.run_id).info.status == "FAILED"


def test_nested_runs_know_their_parent(experiment, client):
    with mlflow.start_run(run_name="parent") as parent:
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_metric("x", 1)
    assert client.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id
    found = client.search_runs(
        [experiment.experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    )
    assert [run.info.run_id for run in found] == [child.info.run_id]


def test_a_run_without_experiment_lands_in_default(client):
    run = client.create_run("0")
    assert client.get_experiment("0").name == "Default"
    assert client.get_run(run.info.run_id).info.experiment_id == "0"
    assert run.info.run_name
    client.set_terminated(run.info.run_id)


def test_experiments_live_and_die(client, unique):
    name = unique("life")
    number = client.create_experiment(name, tags={"team": "risk"})
    assert client.get_experiment_by_name(name).experiment_id == number
    assert client.get_experiment(number).tags["team"] == "risk"
    client.set_experiment_tag(number, "k", "v")
    assert client.get_experiment(number).tags["k"] == "v"
    client.delete_experiment_tag(number, "k")
    assert "k" not in client.get_experiment(number).tags
    client.rename_experiment(number, name + "-renamed")
    assert client.get_experiment(number).name == name + "-renamed"
    run = client.create_run(number)
    client.delete_experiment(number)
    assert client.get_experiment(number).lifecycle_stage == "deleted"
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
    client.restore_experiment(number)
    assert client.get_experiment(number).lifecycle_stage == "active"
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "active"
    assert client.get_experiment_by_name(unique("nobody")) is None
    with pytest.raises(MlflowException) as error:
        client.create_experiment(name + "-renamed")
    assert error.value.error_code == "RESOURCE_ALREADY_EXISTS"
    with pytest.raises(MlflowException) as error:
        client.get_experiment("999999999")
    assert error.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_experiments_are_searched(client, unique):
    prefix = unique("searched")
    numbers = [client.create_experiment(f"{prefix}-{i}", tags={"nth": str(i)}) for i in range(7)]
    found = client.search_experiments(filter_string=f"name LIKE '{prefix}%'", order_by=["name ASC"])
    assert [e.experiment_id for e in found] == numbers
    found = client.search_experiments(filter_string=f"name ILIKE '{prefix.upper()}%' AND tags.nth = '3'")
    assert [e.experiment_id for e in found] == [numbers[3]]
    pages, token = [], None
    while True:
        page = client.search_experiments(
            filter_string=f"name LIKE '{prefix}%'", order_by=["name DESC"], max_results=3, page_token=token
        )
        pages.append([e.experiment_id for e in page])
        token = page.token
        if not token:
            break
    assert pages == [numbers[:3:-1], numbers[3:0:-1], numbers[:1]]
    client.delete_experiment(numbers[0])
    assert len(client.search_experiments(filter_string=f"name LIKE '{prefix}%'")) == 6
    assert (
        len(client.search_experiments(ViewType.DELETED_ONLY, filter_string=f"name LIKE '{prefix}%'")) == 1
    )
    assert len(client.search_experiments(ViewType.ALL, filter_string=f"name LIKE '{prefix}%'")) == 7


def test_runs_are_deleted_and_restored(experiment, client):
    run = client.create_run(experiment.experiment_id)
    client.delete_run(run.info.run_id)
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
    assert client.search_runs([experiment.experiment_id]) == []
    assert len(client.search_runs([experiment.experiment_id], run_view_type=ViewType.DELETED_ONLY)) == 1
    with pytest.raises(MlflowException) as error:
        client.log_metric(run.info.run_id, "x", 1)
    assert error.value.error_code == "INVALID_PARAMETER_VALUE"
    client.restore_run(run.info.run_id)
    client.log_metric(run.info.run_id, "x", 1)


def test_a_param_is_written_once(experiment, client):
    run = client.create_run(experiment.experiment_id).info.run_id
    client.log_param(run, "p", "1")
    client.log_param(run, "p", "1")
    with pytest.raises(MlflowException, match="Changing param values is not allowed") as error:
        client.log_param(run, "p", "2")
    assert error.value.error_code == "INVALID_PARAMETER_VALUE"
    with pytest.raises(MlflowException):
        client.log_batch(run, params=[Param("q", "1"), Param("q", "2")])
    assert client.get_run(run).data.params == {"p": "1"}


def test_tags_are_overwritten_and_deleted(experiment, client):
    run = client.create_run(experiment.experiment_id).info.run_id
    client.set_tag(run, "t", "1")
    client.set_tag(run, "t", "2")
    assert client.get_run(run).data.tags["t"] == "2"
    client.delete_tag(run, "t")
    assert "t" not in client.get_run(run).data.tags
    with pytest.raises(MlflowException) as error:
        client.delete_tag(run, "t")
    assert error.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    client.set_tag(run, "mlflow.runName", "renamed")
    assert client.get_run(run).info.run_name == "renamed"
    client.update_run(run, status="KILLED", name="again")
    stored = client.get_run(run)
    assert (stored.info.status, stored.info.run_name, stored.data.tags["mlflow.runName"]) == (
        "KILLED",
        "again",
        "again",
    )


def test_a_batch_is_logged_whole(experiment, client):
    run = client.create_run(experiment.experiment_id).info.run_id
    now = int(time.time() * 1000)
    client.log_batch(
        run,
        metrics=[Metric(f"m{i % 10}", i, now + i, i) for i in range(1000)],
        params=[Param(f"p{i}", str(i)) for i in range(100)],
        tags=[RunTag(f"t{i}", str(i)) for i in range(100)][:0],
    )
    data = client.get_run(run).data
    assert data.metrics == {f"m{i}": 990 + i for i in range(10)}
    assert len(data.params) == 100
    assert len(client.get_metric_history(run, "m3")) == 100


def test_the_latest_metric_is_that_of_the_greatest_step(experiment, client):
    run = client.create_run(experiment.experiment_id).info.run_id
    client.log_metric(run, "m", 1, timestamp=1000, step=5)
    client.log_metric(run, "m", 2, timestamp=9000, step=3)
    assert client.get_run(run).data.metrics["m"] == 1
    client.log_metric(run, "m", 3, timestamp=1000, step=5)
    assert client.get_run(run).data.metrics["m"] == 3
    client.log_metric(run, "m", -7, timestamp=2000, step=5)
    assert client.get_run(run).data.metrics["m"] == -7
    client.log_metric(run, "m", 4, timestamp=1, step=-2)
    assert len(client.get_metric_history(run, "m")) == 5


def test_numbers_are_kept(experiment, client):
    run = client.create_run(experiment.experiment_id).info.run_id
    values = {"nan": math.nan, "huge": 1e300, "tiny": 5e-324, "third": 1 / 3, "negative": -0.1}
    for key, value in values.items():
        client.log_metric(run, key, value)
    data = client.get_run(run).data.metrics
    assert math.isnan(data.pop("nan"))
    assert data == {key: value for key, value in values.items() if key != "nan"}
    client.log_metric(run, "inf", math.inf)
    client.log_metric(run, "-inf", -math.inf)
    assert client.get_run(run).data.metrics["inf"] >= 1.7976931348623157e308
    assert client.get_run(run).data.metrics["-inf"] <= -1.7976931348623157e308


def test_datasets_are_inputs(experiment, client):
    run = client.create_run(experiment.experiment_id).info.run_id
    dataset = Dataset(name="tickets", digest="abc123", source_type="local", source='{"uri": "x.csv"}', schema="{}", profile="{}")
    client.log_inputs(run, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    inputs = client.get_run(run).inputs.dataset_inputs
    assert [(i.dataset.name, i.dataset.digest) for i in inputs] == [("tickets", "abc123")]
    assert [(t.key, t.value) for t in inputs[0].tags] == [("mlflow.data.context", "training")]
    found = client.search_runs([experiment.experiment_id], "dataset.name = 'tickets' AND dataset.digest LIKE 'abc%'")
    assert [r.info.run_id for r in found] == [run]
    found = client.search_runs([experiment.experiment_id], "datasets.context = 'training'")
    assert [r.info.run_id for r in found] == [run]


def test_log_input_of_a_pandas_frame(experiment, client):
    import pandas

    frame = pandas.DataFrame({"x": [1, 2], "y": ["a", "b"]})
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow.data.from_pandas(frame, name="frame"), context="eval")
    inputs = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert inputs[0].dataset.name == "frame"


def test_metric_histories_are_read_page_by_page(experiment, client):
    run = client.create_run(experiment.experiment_id).info.run_id
    for start in range(0, 3000, 1000):
        client.log_batch(run, metrics=[Metric("m", i, 1000 + i, i) for i in range(start, start + 1000)])
    store = client._tracking_client.store
    token, values = None, []
    while True:
        page = store.get_metric_history(run, "m", max_results=700, page_token=token)
        values += [point.value for point in page]
        token = page.token
        if not token:
            break
    assert values == list(range(3000))


def test_run_search_as_pandas(experiment):
    for i in range(3):
        with mlflow.start_run(run_name=f"r{i}"):
            mlflow.log_metric("score", i)
            mlflow.log_param("kind", "a" if i % 2 else "b")
    frame = mlflow.search_runs(order_by=["metrics.score DESC"])
    assert list(frame["metrics.score"]) == [2, 1, 0]
    assert list(frame["params.kind"]) == ["b", "a", "b"]
