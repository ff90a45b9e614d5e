"""What a client gets wrong is answered 4xx, tells why, and leaves nothing behind."""

import mlflow
import pytest
from conftest import catena_only
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException


@pytest.fixture
def run(experiment, client):
    return client.create_run(experiment.experiment_id).info.run_id


BATCH = "/api/2.0/mlflow/runs/log-batch"


def bodies(run):
    good = {"key": "good", "value": 1, "timestamp": 1, "step": 0}
    yield "key of 1000 characters", BATCH, {"run_id": run, "metrics": [good, {**good, "key": "k" * 1000}]}
    yield "1001 metrics", BATCH, {"run_id": run, "metrics": [{**good, "step": i} for i in range(1001)]}
    yield "10000 metrics", BATCH, {"run_id": run, "metrics": [{**good, "step": i} for i in range(10_000)]}
    yield "101 params", BATCH, {"run_id": run, "params": [{"key": f"p{i}", "value": "x"} for i in range(101)]}
    yield "101 tags", BATCH, {"run_id": run, "tags": [{"key": f"p{i}", "value": "x"} for i in range(101)]}
    yield "params that contradict", BATCH, {"run_id": run, "params": [{"key": "p", "value": "1"}, {"key": "p", "value": "2"}]}
    yield "a metric without key", BATCH, {"run_id": run, "metrics": [good, {"value": 1, "timestamp": 1, "step": 0}]}
    yield "a metric that is text", BATCH, {"run_id": run, "metrics": [good, {**good, "value": "high"}]}
    yield "a step that is no whole number", BATCH, {"run_id": run, "metrics": [good, {**good, "step": 1.5}]}
    yield "a negative time", BATCH, {"run_id": run, "metrics": [good, {**good, "timestamp": -1}]}
    yield "metrics that are no list", BATCH, {"run_id": run, "metrics": 5}
    yield "an unknown run", BATCH, {"run_id": "0" * 32, "metrics": [good]}
    yield "a run id that is a number", BATCH, {"run_id": 31, "metrics": [good]}
    yield "no run id", BATCH, {"metrics": [good]}
    yield "a key with ..", "/api/2.0/mlflow/runs/log-metric", {"run_id": run, "key": "../x", "value": 1, "timestamp": 1}
    yield "an unknown status", "/api/2.0/mlflow/runs/update", {"run_id": run, "status": "DREAMING"}
    yield "max_results of 0", "/api/2.0/mlflow/runs/search", {"experiment_ids": ["0"], "max_results": 0}
    yield "max_results of a million", "/api/2.0/mlflow/runs/search", {"experiment_ids": ["0"], "max_results": 1_000_000}
    yield "a forged page token", "/api/2.0/mlflow/runs/search", {"experiment_ids": ["0"], "page_token": "forged"}
    yield "an experiment without name", "/api/2.0/mlflow/experiments/create", {}
    yield "an experiment named by a number", "/api/2.0/mlflow/experiments/create", {"name": 5}


NAMES = [name for name, _, _ in bodies("")]
#: MLflow's own server takes these: it answers 200 and writes a part, or nothing.
TAKEN_THERE = ["a metric that is text", "a step that is no whole number", "an unknown status"]


@pytest.mark.parametrize("name", [pytest.param(n, marks=catena_only) if n in TAKEN_THERE else n for n in NAMES])
def test_refused(run, client, raw_post, name):
    path, body = next((path, body) for n, path, body in bodies(run) if n == name)
    status, answer = raw_post(path, body)
    assert 400 <= status < 500, answer
    assert answer["error_code"] and answer["message"]
    data = client.get_run(run).data
    assert data.metrics == {} and data.params == {}


@catena_only
@pytest.mark.parametrize(
    "tag", ["nul \0 inside", "\ud800"], ids=["NUL", "lone surrogate"]
)
def test_text_that_cannot_be_stored(run, client, raw_post, tag):
    status, answer = raw_post(BATCH, {"run_id": run, "params": [{"key": "p", "value": "1"}], "tags": [{"key": "t", "value": tag}]})
    assert status == 400 and answer["error_code"] == "INVALID_PARAMETER_VALUE"
    assert client.get_run(run).data.params == {}


@catena_only
def test_a_batch_is_all_or_nothing(run, client):
    client.log_param(run, "p", "1")
    with pytest.raises(MlflowException):
        client.log_batch(run, metrics=[Metric("m", 1, 1, 0)], params=[Param("new", "1"), Param("p", "2")], tags=[RunTag("t", "1")])
    data = client.get_run(run).data
    assert data.metrics == {} and data.params == {"p": "1"} and "t" not in data.tags


@catena_only
@pytest.mark.parametrize("time", [2**53, 2**63 - 1])
def test_the_far_future(run, client, raw_post, time):
    status, answer = raw_post("/api/2.0/mlflow/runs/log-metric", {"run_id": run, "key": "m", "value": 1, "timestamp": time, "step": 2**62})
    assert status in (200, 400)
    if status == 200:
        [point] = client.get_metric_history(run, "m")
        assert (point.timestamp, point.step) == (time, 2**62)


@catena_only
def test_garbage(raw_post):
    for raw in [b"{", b"[]", b'"text"', b"\xff\xfe", b"5"]:
        status, answer = raw_post("/api/2.0/mlflow/runs/search", None, raw)
        assert 400 <= status < 500, (raw, answer)
    status, answer = raw_post("/api/2.0/mlflow/nothing/here", {})
    assert status == 404


def test_null_is_a_body_without_fields(raw_post):
    assert raw_post("/api/2.0/mlflow/runs/search", None, b"null") == raw_post("/api/2.0/mlflow/runs/search", {})


def test_two_clients_end_one_run(run, client):
    client.set_terminated(run, "FINISHED")
    client.set_terminated(run, "FAILED")
    assert client.get_run(run).info.status == "FAILED"
