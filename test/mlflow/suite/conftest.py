"""The real MLflow client against a running registry, whose address is in MLFLOW_TRACKING_URI.

Set CATENA_REFERENCE=1 when that address is MLflow's own server: tests of what only Catena does are skipped then, and what is
left says whether this suite describes MLflow or only us.
"""

import json
import os
import urllib.error
import urllib.request
import uuid

import mlflow
import pytest
from mlflow import MlflowClient

URI = os.environ["MLFLOW_TRACKING_URI"]

catena_only = pytest.mark.skipif(
    os.environ.get("CATENA_REFERENCE") == "1", reason="what MLflow's own server does not do"
)


@pytest.fixture(scope="session")
def uri():
    return URI


@pytest.fixture
def client():
    return MlflowClient(URI)


@pytest.fixture
def unique():
    """A name nobody else uses."""
    return lambda prefix: f"{prefix}-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def experiment(unique):
    """A fresh experiment, made the active one."""
    while mlflow.active_run():
        mlflow.end_run()
    return mlflow.set_experiment(unique("experiment"))


class Native:
    """Catena's own API, to see that both protocols tell of the same things."""

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            f"{URI}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            text = response.read()
            return json.loads(text) if text else None

    def get(self, path):
        return self.call("GET", path)

    def post(self, path, body):
        return self.call("POST", path, body)


@pytest.fixture
def native():
    return Native()


def post(path, body, raw=None):
    """A raw call of the protocol: (status, JSON or text)."""
    request = urllib.request.Request(
        f"{URI}{path}",
        method="POST",
        data=raw if raw is not None else json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        try:
            return error.code, json.loads(text)
        except json.JSONDecodeError:
            return error.code, text


@pytest.fixture(scope="session")
def raw_post():
    return post
