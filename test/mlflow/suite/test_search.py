"""The filter grammar, on one set of runs."""

import math

import mlflow
import pytest
from conftest import catena_only
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException


@pytest.fixture(scope="module")
def runs(uri):
    import uuid

    client = MlflowClient(uri)
    number = client.create_experiment(f"search-{uuid.uuid4().hex}")
    rows = [
        # name, start, metrics, params, tags
        ("one", 1000, {"acc": 0.1, "loss": 3.0}, {"model": "svm", "lr": "0.1"}, {"env": "prod", "my key": "a b"}),
        ("two", 2000, {"acc": 0.5}, {"model": "tree", "lr": "0.01"}, {"env": "dev"}),
        ("Three", 3000, {"acc": 0.9, "loss": math.nan}, {"model": "Tree"}, {"env": "prod", "quote": "it's"}),
        ("four", 4000, {"acc": math.inf, "loss": -1.0}, {"model": "100%"}, {"env": "PROD"}),
        ("five", 5000, {"loss": 0.0}, {}, {}),
    ]
    ids = {}
    for name, start, metrics, params, tags in rows:
        run = client.create_run(number, start_time=start, run_name=name).info.run_id
        client.log_batch(
            run,
            metrics=[Metric(k, v, start, 0) for k, v in metrics.items()],
            params=[Param(k, v) for k, v in params.items()],
            tags=[RunTag(k, v) for k, v in tags.items()],
        )
        client.set_terminated(run, status="FAILED" if name == "two" else "FINISHED", end_time=start + 500)
        ids[run] = name

    def search(filter="", order_by=None, **more):
        found = client.search_runs([number], filter, order_by=order_by, **more)
        return [ids[run.info.run_id] for run in found]

    search.ids = {name: run for run, name in ids.items()}
    search.client, search.number = client, number
    return search


ALL = ["five", "four", "Three", "two", "one"]

FILTERS = [
    ("", ALL),
    ("metrics.acc > 0.1", ["four", "Three", "two"]),
    ("metrics.acc >= 0.1", ["four", "Three", "two", "one"]),
    ("metric.acc = 0.5", ["two"]),
    ("metrics.acc != 0.5", ["four", "Three", "one"]),
    ("metrics.acc < 0.9 and metrics.acc > 0.1", ["two"]),
    ("metrics.loss < 0", ["four"]),
    ("metrics.acc > -1e10", ["four", "Three", "two", "one"]),
    ("params.model = 'tree'", ["two"]),
    ("params.model != 'tree'", ["four", "Three", "one"]),
    ("params.model LIKE 't%'", ["two"]),
    ("params.model ILIKE 't%'", ["Three", "two"]),
    ("parameters.model LIKE '%'", ["four", "Three", "two", "one"]),
    ("param.model = '100%'", ["four"]),
    ("tags.env = 'prod'", ["Three", "one"]),
    ('tags.env = "prod"', ["Three", "one"]),
    ("tags.env ILIKE 'prod'", ["four", "Three", "one"]),
    ("tag.`my key` = 'a b'", ["one"]),
    ('tags."my key" = "a b"', ["one"]),
    ('tags.quote = "it\'s"', ["Three"]),
    ("attributes.status = 'FAILED'", ["two"]),
    ("status != 'FAILED'", ["five", "four", "Three", "one"]),
    ("attribute.start_time >= 3000", ["five", "four", "Three"]),
    ("start_time < 2000", ["one"]),
    ("attributes.end_time > 3500", ["five", "four"]),
    ("created > 3000", ["five", "four"]),
    ("run_name = 'Three'", ["Three"]),
    ("attributes.run_name LIKE 't%'", ["two"]),
    ("attributes.`run name` ILIKE 't%'", ["Three", "two"]),
    ("metrics.acc > 0.2 AND params.model ILIKE 'tree' AND tags.env = 'dev'", ["two"]),
    ("tags.env IS NULL", ["five"]),
    ("tags.env IS NOT NULL AND params.lr IS NULL", ["four", "Three"]),
    ("params.absent = 'x'", []),
    ("tags.absent != 'x'", []),
    ("params.model = '; DROP TABLE run; --'", []),
]


@pytest.mark.parametrize("filter,names", FILTERS, ids=[f or "everything" for f, _ in FILTERS])
def test_filter(runs, filter, names):
    assert runs(filter) == names


ORDERS = [
    (["metrics.acc ASC"], ["one", "two", "Three", "four", "five"]),
    (["metrics.acc DESC"], ["four", "Three", "two", "one", "five"]),
    (["metrics.acc"], ["one", "two", "Three", "four", "five"]),
    (["metrics.loss ASC"], ["four", "five", "one", "Three", "two"]),
    (["metrics.loss DESC"], ["one", "five", "four", "Three", "two"]),
    (["params.model ASC"], ["four", "Three", "one", "two", "five"]),
    (["attributes.start_time ASC"], list(reversed(ALL))),
    (["start_time DESC"], ALL),
    (["tags.env DESC", "metrics.acc ASC"], ["one", "Three", "two", "four", "five"]),
    (["attributes.run_name ASC"], ["Three", "five", "four", "one", "two"]),
    (["attributes.end_time DESC"], ALL),
    (["tags.`my key` ASC"], ["one", "five", "four", "Three", "two"]),
]


@pytest.mark.parametrize("order,names", ORDERS, ids=[", ".join(o) for o, _ in ORDERS])
def test_order(runs, order, names):
    assert runs(order_by=order) == names


def test_ids_are_searched(runs):
    ids = runs.ids
    assert runs(f"attributes.run_id IN ('{ids['one']}', '{ids['four']}')") == ["four", "one"]
    assert runs(f"run_id = '{ids['two']}'") == ["two"]
    assert runs(f"run_id NOT IN ('{ids['one']}')") == ["five", "four", "Three", "two"]


@pytest.mark.parametrize("order", [None, ["metrics.acc DESC"], ["metrics.loss ASC"], ["params.model DESC"], ["tags.env ASC"]])
def test_pages_join_to_the_whole(runs, order):
    whole, token, pages = runs(order_by=order), None, []
    while True:
        page = runs.client.search_runs([runs.number], "", order_by=order, max_results=2, page_token=token)
        pages += [run.info.run_id for run in page]
        token = page.token
        if not token:
            break
    assert [runs.ids[name] for name in whole] == pages


BAD = [
    "metrics.acc > 'text'",
    "metrics.acc LIKE '1'",
    "params.model > 'a'",
    "params.model = tree",
    "params.model = 1",
    "tags.env = ",
    "= 'x'",
    "nonsense.key = 'x'",
    "attributes.nonsense = 'x'",
    "attributes.start_time = 'x'",
    "metrics.acc >",
    "metrics.acc = 0.1; DROP TABLE run",
    "tags.env = 'unclosed",
    "metrics.acc",
    "params.`a = 'x'",
]


@pytest.mark.parametrize("filter", BAD)
def test_a_bad_filter_is_refused(runs, filter):
    with pytest.raises(MlflowException) as error:
        runs(filter)
    assert error.value.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


@pytest.mark.parametrize("order", ["metrics.acc SIDEWAYS", "nonsense.x ASC", "attributes.nonsense", "metrics.acc; x"])
def test_a_bad_order_is_refused(runs, order):
    with pytest.raises(MlflowException) as error:
        runs(order_by=[order])
    assert error.value.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


@catena_only
@pytest.mark.parametrize("filter", ["metrics.acc > 0.1 AND", "AND metrics.acc = 1"])
def test_a_filter_cut_short_is_refused(runs, filter):
    with pytest.raises(MlflowException):
        runs(filter)


@catena_only
def test_or_and_parentheses(runs):
    assert runs("metrics.acc = 0.1 OR metrics.acc = 0.9") == ["Three", "one"]
    assert runs("tags.env = 'prod' AND (params.model = 'svm' OR metrics.acc > 0.8)") == ["Three", "one"]
    assert runs("tags.env = 'dev' OR tags.env = 'prod' AND params.model = 'svm'") == ["two", "one"]


@catena_only
def test_a_bad_filter_is_explained(runs):
    with pytest.raises(MlflowException, match=r"(position|column|character) \d+"):
        runs("metrics.acc > 0.1 AND params.model ! 'x'")


@catena_only
def test_infinity_is_infinity(runs):
    run = runs.client.get_run(runs.ids["four"])
    assert run.data.metrics["acc"] == math.inf
