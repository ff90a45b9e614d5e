import json
import time

import mlflow
import pytest
from mlflow.entities import AssessmentSource, SpanType
from mlflow.exceptions import MlflowException


def traces_of(experiment, count=1, **more):
    """Traces are exported in the background: wait for them."""
    mlflow.flush_trace_async_logging()
    deadline = time.time() + 20
    while True:
        found = mlflow.search_traces(locations=[experiment.experiment_id], return_type="list", **more)
        if len(found) >= count or time.time() > deadline:
            return found
        time.sleep(0.2)


@pytest.fixture
def answer(experiment):
    @mlflow.trace(span_type=SpanType.RETRIEVER)
    def retrieve(question):
        return [{"page_content": "refunds take 5 days", "metadata": {"doc_uri": "a"}}]

    @mlflow.trace(name="generate", span_type=SpanType.LLM, attributes={"model": "small"})
    def generate(question, documents):
        if question == "fail":
            raise ValueError("no answer")
        return "five days"

    @mlflow.trace
    def answer(question):
        mlflow.update_current_trace(tags={"channel": "chat"}, client_request_id=f"request-{question}")
        return generate(question, retrieve(question))

    return answer


def test_a_trace_is_written_and_read(answer, experiment):
    assert answer("when?") == "five days"
    [trace] = traces_of(experiment)
    assert trace.info.state == "OK" and trace.info.tags["channel"] == "chat"
    assert trace.info.client_request_id == "request-when?"
    read = mlflow.get_trace(trace.info.trace_id)
    spans = {span.name: span for span in read.data.spans}
    assert set(spans) == {"answer", "retrieve", "generate"}
    assert spans["answer"].inputs == {"question": "when?"} and spans["answer"].outputs == "five days"
    assert spans["generate"].parent_id == spans["answer"].span_id
    assert spans["generate"].span_type == "LLM" and spans["generate"].get_attribute("model") == "small"
    assert json.loads(trace.info.request_preview) == {"question": "when?"}
    assert trace.info.execution_duration >= 0


def test_a_failing_trace(answer, experiment):
    with pytest.raises(ValueError):
        answer("fail")
    [trace] = traces_of(experiment)
    assert trace.info.state == "ERROR"
    failed = {span.name: span for span in mlflow.get_trace(trace.info.trace_id).data.spans}["generate"]
    assert failed.status.status_code == "ERROR"
    assert failed.events[0].name == "exception" and failed.events[0].attributes["exception.message"] == "no answer"


def test_traces_are_searched(answer, experiment):
    for question in ["a", "b", "c"]:
        answer(question)
        time.sleep(0.01)  # traces of one millisecond have no order among them
    with pytest.raises(ValueError):
        answer("fail")
    assert len(traces_of(experiment, 4)) == 4

    def found(filter):
        return sorted(t.info.client_request_id for t in traces_of(experiment, 0, filter_string=filter))

    assert found("status = 'ERROR'") == ["request-fail"]
    assert found("trace.status = 'OK'") == ["request-a", "request-b", "request-c"]
    assert found("tags.channel = 'chat'") == ["request-a", "request-b", "request-c", "request-fail"]
    assert found("trace.client_request_id = 'request-b'") == ["request-b"]
    assert found("span.type = 'LLM' AND span.status = 'ERROR'") == ["request-fail"]
    assert found("span.name LIKE 'gen%' AND status = 'OK'") == ["request-a", "request-b", "request-c"]
    assert found("tags.channel = 'phone'") == []
    assert found(f"timestamp_ms > {int(time.time() * 1000) + 60_000}") == []
    ordered = traces_of(experiment, 4, order_by=["timestamp_ms ASC"], max_results=2)
    assert [t.info.client_request_id for t in ordered] == ["request-a", "request-b"]


def test_tags_and_deletion(answer, experiment, client):
    answer("x")
    [trace] = traces_of(experiment)
    mlflow.set_trace_tag(trace.info.trace_id, "rated", "yes")
    assert mlflow.get_trace(trace.info.trace_id).info.tags["rated"] == "yes"
    mlflow.delete_trace_tag(trace.info.trace_id, "rated")
    assert client.delete_traces(experiment.experiment_id, trace_ids=[trace.info.trace_id]) == 1
    assert traces_of(experiment, 0) == []


def test_assessments(answer, experiment):
    answer("x")
    [trace] = traces_of(experiment)
    identifier = trace.info.trace_id
    human = AssessmentSource(source_type="HUMAN", source_id="ana")
    given = mlflow.log_feedback(trace_id=identifier, name="helpful", value=True, source=human, rationale="it was")
    mlflow.log_expectation(trace_id=identifier, name="expected", value={"days": 5}, source=human)
    stored = {a.name: a for a in mlflow.get_trace(identifier).info.assessments}
    assert stored["helpful"].value is True and stored["helpful"].rationale == "it was"
    assert stored["expected"].value == {"days": 5}
    assert mlflow.get_assessment(identifier, given.assessment_id).source.source_id == "ana"
    mlflow.override_feedback(trace_id=identifier, assessment_id=given.assessment_id, value=False)
    values = [a.value for a in mlflow.get_trace(identifier).info.assessments if a.name == "helpful" and a.valid is not False]
    assert values == [False]
    found = traces_of(experiment, 0, filter_string="feedback.helpful = 'false'")
    assert [t.info.trace_id for t in found] == [identifier]
    mlflow.delete_assessment(identifier, given.assessment_id)
    with pytest.raises(MlflowException):
        mlflow.get_assessment(identifier, given.assessment_id)


def test_a_trace_belongs_to_its_run(answer, experiment):
    with mlflow.start_run() as run:
        answer("in a run")
    found = traces_of(experiment, 1, run_id=run.info.run_id)
    assert [t.info.client_request_id for t in found] == ["request-in a run"]


def test_many_spans(experiment):
    with mlflow.start_span("root") as root:
        for i in range(300):
            with mlflow.start_span(f"s{i}") as span:
                span.set_inputs({"i": i, "text": "x" * 100})
    [trace] = traces_of(experiment)
    assert len(mlflow.get_trace(trace.info.trace_id).data.spans) == 301
