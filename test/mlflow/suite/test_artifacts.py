import hashlib
import os
import urllib.error
import urllib.request

import mlflow
import pytest
from conftest import catena_only
from mlflow.exceptions import MlflowException


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture
def run(experiment):
    with mlflow.start_run() as run:
        yield run.info.run_id


def test_files_and_directories(run, client, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "deep" / "b.txt").write_text("bb")
    (tmp_path / "deep" / "er" / "ünï cödé & 100%.txt").write_text("ccc")
    mlflow.log_artifacts(str(tmp_path), "tree")
    mlflow.log_artifact(str(tmp_path / "a.txt"))
    assert sorted((f.path, f.is_dir, f.file_size) for f in client.list_artifacts(run)) == [
        ("a.txt", False, 1),
        ("tree", True, None),
    ]
    assert sorted((f.path, f.is_dir, f.file_size) for f in client.list_artifacts(run, "tree")) == [
        ("tree/a.txt", False, 1),
        ("tree/deep", True, None),
    ]
    local = mlflow.artifacts.download_artifacts(run_id=run, artifact_path="tree", dst_path=str(tmp_path / "out"))
    assert open(os.path.join(local, "deep", "er", "ünï cödé & 100%.txt")).read() == "ccc"


def test_texts_dicts_figures_and_tables(run, client):
    import matplotlib.pyplot as plt

    mlflow.log_text("hello", "note.txt")
    mlflow.log_dict({"a": [1, 2]}, "data.json")
    figure, axes = plt.subplots()
    axes.plot([0, 1], [2, 3])
    mlflow.log_figure(figure, "plots/line.png")
    mlflow.log_table({"question": ["q1"], "answer": ["a1"]}, "eval.json")
    mlflow.log_table({"question": ["q2"], "answer": ["a2"]}, "eval.json")
    assert mlflow.artifacts.load_text(f"runs:/{run}/note.txt") == "hello"
    assert mlflow.artifacts.load_dict(f"runs:/{run}/data.json") == {"a": [1, 2]}
    assert list(mlflow.load_table("eval.json", run_ids=[run])["question"]) == ["q1", "q2"]
    assert client.list_artifacts(run, "plots")[0].file_size > 1000


def test_a_file_is_replaced(run, client):
    mlflow.log_text("one", "file.txt")
    mlflow.log_text("two, longer", "file.txt")
    assert mlflow.artifacts.load_text(f"runs:/{run}/file.txt") == "two, longer"
    assert client.list_artifacts(run)[0].file_size == 11


def test_a_file_and_a_directory_are_deleted(run, client, uri):
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    mlflow.log_text("x", "d/one.txt")
    mlflow.log_text("x", "d/two.txt")
    mlflow.log_text("x", "keep.txt")
    repository = get_artifact_repository(client.get_run(run).info.artifact_uri)
    repository.delete_artifacts("d/one.txt")
    assert [f.path for f in client.list_artifacts(run, "d")] == ["d/two.txt"]
    repository.delete_artifacts("d")
    assert [f.path for f in client.list_artifacts(run)] == ["keep.txt"]


@pytest.mark.parametrize("multipart", ["false", "true"])
def test_200_megabytes(run, client, tmp_path, monkeypatch, multipart):
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", multipart)
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(50 * 1024 * 1024))
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(20 * 1024 * 1024))
    path = tmp_path / "large.bin"
    with open(path, "wb") as file:
        for _ in range(200):
            file.write(os.urandom(1024 * 1024))
    mlflow.log_artifact(str(path))
    assert client.list_artifacts(run)[0].file_size == 200 * 1024 * 1024
    local = mlflow.artifacts.download_artifacts(run_id=run, artifact_path="large.bin", dst_path=str(tmp_path / "out"))
    assert digest(local) == digest(path)


@catena_only
@pytest.mark.parametrize(
    "path", ["../secret", "a/../../secret", "%2e%2e/secret", "..%2fsecret", "%252e%252e/secret", "/etc/passwd", "a%5c..%5cb"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_no_path_leads_out(run, client, uri, method, path):
    root = client.get_run(run).info.artifact_uri.removeprefix("mlflow-artifacts:/").lstrip("/")
    request = urllib.request.Request(
        f"{uri}/api/2.0/mlflow-artifacts/artifacts/{root}/{path}", method=method, data=b"x" if method == "PUT" else None
    )
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    assert 400 <= error.value.code < 500


def test_an_artifact_that_is_not_there(run):
    with pytest.raises((MlflowException, OSError)):
        mlflow.artifacts.download_artifacts(run_id=run, artifact_path="nothing.txt")


def test_the_file_behind_get_artifact(run, uri):
    mlflow.log_text("<b>seen</b>", "page.html")
    with urllib.request.urlopen(f"{uri}/get-artifact?run_uuid={run}&path=page.html") as response:
        assert response.read() == b"<b>seen</b>"
