import mlflow
import pytest


@pytest.mark.filterwarnings("ignore")
def test_an_evaluation_with_code_only_scorers(experiment, client):
    from mlflow.genai.scorers import scorer

    @scorer
    def exact(outputs, expectations):
        return outputs == expectations["answer"]

    @scorer
    def length(outputs):
        return len(outputs)

    result = mlflow.genai.evaluate(
        data=[
            {"inputs": {"question": "a"}, "expectations": {"answer": "A"}},
            {"inputs": {"question": "b"}, "expectations": {"answer": "X"}},
        ],
        predict_fn=lambda question: question.upper(),
        scorers=[exact, length],
    )
    assert result.metrics["exact/mean"] == 0.5
    assert client.get_run(result.run_id).data.metrics["exact/mean"] == 0.5
    traces = mlflow.search_traces(locations=[experiment.experiment_id], run_id=result.run_id, return_type="list")
    assert len(traces) == 2
    assert {a.name for a in traces[0].info.assessments} >= {"exact", "length"}


def test_evaluation_datasets(experiment, unique):
    from mlflow.genai.datasets import create_dataset, delete_dataset, get_dataset, search_datasets

    name = unique("dataset")
    dataset = create_dataset(name=name, experiment_id=experiment.experiment_id, tags={"team": "support"})
    dataset.merge_records(
        [
            {"inputs": {"question": "a"}, "expectations": {"answer": "A"}, "tags": {"t": "1"}},
            {"inputs": {"question": "b"}, "expectations": {"answer": "B"}},
        ]
    )
    dataset.merge_records([{"inputs": {"question": "a"}, "expectations": {"answer": "AA"}}])
    frame = get_dataset(dataset_id=dataset.dataset_id).to_df()
    assert len(frame) == 2
    by_question = {row["inputs"]["question"]: row["expectations"] for _, row in frame.iterrows()}
    assert by_question["a"] == {"answer": "AA"}
    found = search_datasets(experiment_ids=[experiment.experiment_id], filter_string=f"name = '{name}'")
    assert [d.dataset_id for d in found] == [dataset.dataset_id]
    delete_dataset(dataset_id=dataset.dataset_id)
    assert list(search_datasets(experiment_ids=[experiment.experiment_id])) == []


def test_scorers_are_registered(experiment):
    from mlflow.genai.scorers import delete_scorer, get_scorer, list_scorers
    from mlflow.genai.scorers.builtin_scorers import RelevanceToQuery

    RelevanceToQuery(name="relevance", model="openai:/gpt-4o").register(experiment_id=experiment.experiment_id)
    RelevanceToQuery(name="relevance", model="openai:/gpt-4o-mini").register(experiment_id=experiment.experiment_id)
    assert [s.name for s in list_scorers(experiment_id=experiment.experiment_id)] == ["relevance"]
    assert get_scorer(name="relevance", experiment_id=experiment.experiment_id, version=1).name == "relevance"
    delete_scorer(name="relevance", experiment_id=experiment.experiment_id, version="all")
    assert list_scorers(experiment_id=experiment.experiment_id) == []


def test_classic_evaluation(experiment, client):
    import pandas

    frame = pandas.DataFrame({"x": [1.0, 2.0, 3.0], "target": [1.0, 2.0, 3.5], "predictions": [1.0, 2.0, 3.0]})
    with mlflow.start_run() as run:
        mlflow.models.evaluate(
            data=frame, targets="target", predictions="predictions", model_type="regressor", evaluators="default"
        )
    assert client.get_run(run.info.run_id).data.metrics["max_error"] == 0.5
