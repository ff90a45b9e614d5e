import os

import mlflow
import pytest
from conftest import catena_only
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException


@pytest.fixture
def model(client, unique):
    name = unique("model")
    client.create_registered_model(name, tags={"team": "risk"}, description="what it is for")
    return name


def test_a_model_lives(client, model):
    stored = client.get_registered_model(model)
    assert (stored.name, stored.description, stored.tags) == (model, "what it is for", {"team": "risk"})
    client.update_registered_model(model, "another text")
    client.set_registered_model_tag(model, "k", "v")
    client.delete_registered_model_tag(model, "team")
    stored = client.get_registered_model(model)
    assert (stored.description, stored.tags) == ("another text", {"k": "v"})
    with pytest.raises(MlflowException) as error:
        client.create_registered_model(model)
    assert error.value.error_code == "RESOURCE_ALREADY_EXISTS"
    client.delete_registered_model(model)
    with pytest.raises(MlflowException) as error:
        client.get_registered_model(model)
    assert error.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_a_model_is_renamed(client, model):
    client.create_model_version(model, "s3://bucket/model")
    client.rename_registered_model(model, model + " renamed")
    assert client.get_model_version(model + " renamed", "1").source == "s3://bucket/model"
    with pytest.raises(MlflowException):
        client.get_registered_model(model)


@pytest.mark.parametrize("name", ["My Model 1", "modèle-ünï", "a.b_c-d", "100% sure?", "x" * 200])
def test_names_are_free(client, unique, name):
    name = f"{name} {unique('n')}"
    client.create_registered_model(name)
    client.create_model_version(name, "s3://bucket/model")
    assert client.get_model_version(name, "1").name == name
    client.set_registered_model_alias(name, "champion", "1")
    assert client.get_model_version_by_alias(name, "champion").version in ("1", 1)


@pytest.mark.parametrize("name", ["", "a/b", "a:b"])
def test_names_that_are_refused(client, name):
    with pytest.raises(MlflowException) as error:
        client.create_registered_model(name)
    assert error.value.error_code == "INVALID_PARAMETER_VALUE"


def test_versions(client, model, experiment):
    run = client.create_run(experiment.experiment_id).info.run_id
    first = client.create_model_version(model, "s3://bucket/1", run_id=run, tags={"t": "1"}, description="first")
    second = client.create_model_version(model, "s3://bucket/1")
    assert (str(first.version), str(second.version)) == ("1", "2")
    stored = client.get_model_version(model, "1")
    assert (stored.status, stored.run_id, stored.source, stored.tags, stored.description, stored.current_stage) == (
        "READY",
        run,
        "s3://bucket/1",
        {"t": "1"},
        "first",
        "None",
    )
    client.update_model_version(model, "1", "other")
    client.set_model_version_tag(model, "1", "u", "2")
    client.delete_model_version_tag(model, "1", "t")
    stored = client.get_model_version(model, "1")
    assert (stored.description, stored.tags) == ("other", {"u": "2"})
    assert client.get_model_version_download_uri(model, "1") == "s3://bucket/1"
    client.delete_model_version(model, "1")
    with pytest.raises(MlflowException) as error:
        client.get_model_version(model, "1")
    assert error.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert str(client.create_model_version(model, "s3://bucket/3").version) == "3"


def test_aliases(client, model):
    for _ in range(2):
        client.create_model_version(model, "s3://bucket/m")
    client.set_registered_model_alias(model, "champion", "1")
    client.set_registered_model_alias(model, "Blue_1", "1")
    client.set_registered_model_alias(model, "champion", "2")
    assert str(client.get_model_version_by_alias(model, "champion").version) == "2"
    assert {a: str(v) for a, v in client.get_registered_model(model).aliases.items()} == {"champion": "2", "Blue_1": "1"}
    assert client.get_model_version(model, "2").aliases == ["champion"]
    client.delete_registered_model_alias(model, "champion")
    with pytest.raises(MlflowException) as error:
        client.get_model_version_by_alias(model, "champion")
    assert error.value.error_code == "INVALID_PARAMETER_VALUE"
    for bad in ["latest", "v1", "with space", "a/b"]:
        with pytest.raises(MlflowException):
            client.set_registered_model_alias(model, bad, "1")
    with pytest.raises(MlflowException):
        client.set_registered_model_alias(model, "champion", "99")


@pytest.mark.filterwarnings("ignore")
def test_stages(client, model):
    for _ in range(3):
        client.create_model_version(model, "s3://bucket/m")
    client.transition_model_version_stage(model, "1", "Production")
    client.transition_model_version_stage(model, "2", "production", archive_existing_versions=True)
    stages = {str(v.version): v.current_stage for v in client.search_model_versions(f"name='{model}'")}
    assert stages == {"1": "Archived", "2": "Production", "3": "None"}
    assert [str(v.version) for v in client.get_latest_versions(model, ["Production"])] == ["2"]
    assert sorted(str(v.version) for v in client.get_latest_versions(model)) == ["1", "2", "3"]
    with pytest.raises(MlflowException):
        client.transition_model_version_stage(model, "1", "Nonsense")


def test_models_are_searched(client, unique):
    prefix = unique("m")
    names = [f"{prefix}-{i}" for i in range(5)]
    for i, name in enumerate(names):
        client.create_registered_model(name, tags={"nth": str(i)})
    found = client.search_registered_models(f"name LIKE '{prefix}%'")
    assert [m.name for m in found] == names
    found = client.search_registered_models(f"name ILIKE '{prefix.upper()}%' AND tags.nth = '2'")
    assert [m.name for m in found] == names[2:3]
    found = client.search_registered_models(f"name LIKE '{prefix}%'", order_by=["name DESC"], max_results=2)
    assert [m.name for m in found] == [names[4], names[3]]
    found = client.search_registered_models(
        f"name LIKE '{prefix}%'", order_by=["name DESC"], max_results=2, page_token=found.token
    )
    assert [m.name for m in found] == [names[2], names[1]]
    for bad in ["nonsense = 'x'", "name > 'x'", "tags.nth", "name LIKE 5"]:
        with pytest.raises(MlflowException) as error:
            client.search_registered_models(bad)
        assert error.value.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


def test_versions_are_searched(client, model, experiment):
    run = client.create_run(experiment.experiment_id).info.run_id
    client.create_model_version(model, "s3://bucket/a", run_id=run, tags={"k": "1"})
    client.create_model_version(model, "s3://bucket/b", tags={"k": "2"})

    def versions(filter, **more):
        return [str(v.version) for v in client.search_model_versions(filter, **more)]

    assert versions(f"name = '{model}'") == ["2", "1"]
    assert versions(f"name = '{model}'", order_by=["version_number ASC"]) == ["1", "2"]
    assert versions(f"run_id = '{run}'") == ["1"]
    assert versions(f"run_id IN ('{run}')") == ["1"]
    assert versions(f"name = '{model}' AND tags.k = '2'") == ["2"]
    assert versions(f"name = '{model}' AND source_path = 's3://bucket/a'") == ["1"]
    assert versions(f"name = '{model}' AND version_number = 2") == ["2"]


@pytest.mark.parametrize(
    "source",
    ["/etc", "file:///etc", "../../etc", "mlflow-artifacts:/../../etc", "s3://bucket/../x#frag", "models:/nobody/1", "models:/x", "runs:/nobody/model"],
)
def test_sources_are_checked(client, model, source):
    try:
        client.create_model_version(model, source)
    except MlflowException as error:
        assert error.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST"), error
    else:
        assert source.startswith("s3://")


def test_a_scikit_learn_model_goes_all_the_way(experiment, client, unique):
    import numpy
    from sklearn.linear_model import LinearRegression

    name = unique("linear")
    x, y = numpy.array([[1.0], [2.0], [3.0]]), numpy.array([2.0, 4.0, 6.0])
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(LinearRegression().fit(x, y), name="model", registered_model_name=name, input_example=x)
    client.set_registered_model_alias(name, "champion", "1")
    for address in [f"models:/{name}/1", f"models:/{name}@champion", f"models:/{name}/latest", info.model_uri, f"runs:/{run.info.run_id}/model"]:
        loaded = mlflow.pyfunc.load_model(address)
        assert abs(loaded.predict(numpy.array([[4.0]]))[0] - 8.0) < 1e-9
    version = client.get_model_version(name, "1")
    assert version.run_id == run.info.run_id
    logged = mlflow.get_logged_model(info.model_id)
    assert logged.status == "READY" and logged.source_run_id == run.info.run_id
    assert [m.model_id for m in client.get_run(run.info.run_id).outputs.model_outputs] == [info.model_id]


@catena_only
def test_a_registered_version_keeps_its_bytes(experiment, client, unique, tmp_path):
    """Later changes of the run's files cannot change what was registered from them."""
    name = unique("kept")
    with mlflow.start_run() as run:
        mlflow.log_text("one", "weights/w.txt")
    client.create_registered_model(name)
    version = client.create_model_version(name, f"runs:/{run.info.run_id}/weights", run_id=run.info.run_id)
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.log_text("two", "weights/w.txt")
    local = mlflow.artifacts.download_artifacts(f"models:/{name}/{version.version}", dst_path=str(tmp_path))
    assert open(f"{local}/w.txt").read() == "one"


@catena_only
def test_versions_are_seen_natively(client, model, native):
    client.create_model_version(model, "s3://bucket/m")
    client.set_registered_model_alias(model, "champion", "1")
    seen = native.get(f"/models/{model}/versions/1")
    assert seen["version"] == 1 and seen["aliases"] == ["champion"]


def test_logged_models(experiment, client):
    with mlflow.start_run() as run:
        model = mlflow.initialize_logged_model(name="adapter", tags={"k": "v"}, params={"rank": "8"}, model_type="lora")
        mlflow.log_metric("accuracy", 0.8, model_id=model.model_id)
        model = mlflow.finalize_logged_model(model.model_id, "READY")
    assert model.status == "READY" and model.params["rank"] == "8"
    stored = mlflow.get_logged_model(model.model_id)
    assert [(m.key, m.value) for m in stored.metrics] == [("accuracy", 0.8)]
    mlflow.set_logged_model_tags(model.model_id, {"more": "1"})
    mlflow.delete_logged_model_tag(model.model_id, "k")
    assert mlflow.get_logged_model(model.model_id).tags["more"] == "1"
    second = mlflow.create_external_model(name="other", source_run_id=run.info.run_id)

    def search(filter=None, **more):
        found = client.search_logged_models([experiment.experiment_id], filter_string=filter, **more)
        return sorted(m.name for m in found)

    assert search() == ["adapter", "other"]
    assert search("name = 'adapter'") == ["adapter"]
    assert search("params.rank = '8' AND metrics.accuracy > 0.7") == ["adapter"]
    assert search("tags.more LIKE '1%'") == ["adapter"]
    assert search("model_type = 'lora'") == ["adapter"]
    assert search(f"source_run_id = '{run.info.run_id}'") == ["adapter", "other"]
    if os.environ.get("CATENA_REFERENCE") != "1":  # finds nothing there, ever
        assert search("status = 'READY'") == ["adapter", "other"]
    client.delete_logged_model(second.model_id)
    assert search() == ["adapter"]


def test_a_logged_model_keeps_the_name_of_a_run_that_is_nowhere(client, experiment):
    number = experiment.experiment_id
    made = client.create_logged_model(experiment_id=number, name="adopted", source_run_id="123")
    assert client.get_logged_model(made.model_id).source_run_id == "123"
    client.create_logged_model(experiment_id=number, name="orphan")
    found = client.search_logged_models(experiment_ids=[number], filter_string="source_run_id = '123'")
    assert [model.name for model in found] == ["adopted"]
