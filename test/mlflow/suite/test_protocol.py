"""Every call that the installed client describes has a route: nothing is missing by oversight."""

import importlib
import json
import re
import urllib.error
import urllib.request

import pytest
from mlflow.protos import databricks_pb2

from conftest import URI, catena_only

# Services of MLflow itself; the others are Databricks'.
MODULES = ["service_pb2", "model_registry_pb2", "webhooks_pb2", "mlflow_artifacts_pb2"]

# What the server refuses with 501, and why.
REFUSED = {
    "/mlflow/prompt-optimization/": "jobs of language models, which this server does not run; only MLflow's UI starts them",
    "/mlflow/gateway/": "administration of MLflow's own gateway; model endpoints are managed natively",
    "/mlflow/workspaces": "workspaces are selected, not managed, by this protocol",
}
# What has no route, as in MLflow's own server: its client calls these only at Databricks.
ABSENT = {"/mlflow/unified-traces", "/mlflow/get-online-trace-details"}


def calls():
    found = set()
    for module in MODULES:
        services = importlib.import_module(f"mlflow.protos.{module}").DESCRIPTOR.services_by_name
        for service in services.values():
            for method in service.methods:
                for endpoint in method.GetOptions().Extensions[databricks_pb2.rpc].endpoints:
                    found.add((endpoint.method, endpoint.since.major, "/" + endpoint.path.lstrip("/")))
    return sorted(found)


def answer_to(method, path):
    """An empty request: (status, error_code). What needs nothing answers 200, the rest says what it misses."""
    request = urllib.request.Request(
        URI + path,
        method=method,
        data=None if method == "GET" else b"{}",
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, None
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text).get("error_code") if text.startswith(b"{") else text[:80]


def test_the_descriptors_are_read():
    found = calls()
    assert len(found) > 130
    assert ("POST", 2, "/mlflow/runs/log-batch") in found
    assert ("GET", 3, "/mlflow/traces/{trace_id}/assessments/{assessment_id}") in found


@catena_only
@pytest.mark.parametrize("prefix", ["api", "ajax-api"])
def test_every_call_of_the_client_has_a_route(prefix):
    wrong = []
    for method, version, path in calls():
        filled = re.sub(r"\{[^}]*\}|<[^>]*>", "x", path)
        status, code = answer_to(method, f"/{prefix}/{version}.0{filled}")
        if path in ABSENT:
            expected = (status, code) == (404, "ENDPOINT_NOT_FOUND")
        elif any(path.startswith(start) for start in REFUSED):
            expected = (status, code) == (501, "NOT_IMPLEMENTED")
        else:
            # 404 only for the thing that the path names.
            expected = status < 500 and status != 405 and code != "ENDPOINT_NOT_FOUND"
        if not expected:
            wrong.append((method, version, path, status, code))
    assert wrong == []


@catena_only
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health"),
        ("GET", "/version"),
        ("GET", "/api/3.0/mlflow/server-info"),
        ("PUT", "/api/3.0/mlflow/scorers/online-config"),
        ("GET", "/api/3.0/mlflow/scorers/online-configs"),
        ("GET", "/get-artifact"),
        ("GET", "/model-versions/get-artifact"),
        ("GET", "/ajax-api/3.0/mlflow/get-trace-artifact"),
        ("GET", "/ajax-api/2.0/mlflow/logged-models/x/artifacts/files"),
        ("POST", "/v1/traces"),
    ],
)
def test_calls_that_no_descriptor_tells_of_have_a_route(method, path):
    status, code = answer_to(method, path)
    assert status < 500 and status != 405 and code != "ENDPOINT_NOT_FOUND"


@catena_only
@pytest.mark.parametrize(
    "path",
    ["scorer/invoke", "issues/invoke", "genai/evaluate/invoke", "mcp-servers", "mcp-servers/x/versions"],
)
def test_what_is_not_implemented_says_so(path):
    assert answer_to("POST", f"/ajax-api/3.0/mlflow/{path}") == (501, "NOT_IMPLEMENTED")
