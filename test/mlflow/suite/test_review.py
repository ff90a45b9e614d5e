"""Issues, label schemas and review queues: what people and judges find when they look at traces."""

from functools import partial

import mlflow
import pytest
from mlflow.entities.issue import IssueSeverity, IssueStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _get_store

from conftest import catena_only

try:
    from mlflow.genai import label_schemas, review_queues
    from mlflow.genai.label_schemas import InputCategorical, InputNumeric, InputPassFail, InputText

    REVIEWS = hasattr(review_queues, "create_review_queue")
except ImportError:
    REVIEWS = False

reviews = pytest.mark.skipif(not REVIEWS, reason="this version of MLflow has no review queues")


@pytest.fixture
def store():
    return _get_store()


def a_trace(name="f"):
    with mlflow.start_span(name) as span:
        pass
    mlflow.flush_trace_async_logging()
    return span.trace_id


def test_issues_are_reported_changed_and_found(store, experiment, client):
    number = experiment.experiment_id
    run = client.create_run(number)
    low = store.create_issue(number, "slow", "takes long", severity=IssueSeverity.LOW)
    high = store.create_issue(
        number,
        "invents numbers",
        "says what is not so",
        severity=IssueSeverity.HIGH,
        root_causes=["no tool", "no data"],
        categories=["hallucination"],
        source_run_id=run.info.run_id,
        created_by="ada",
    )
    plain = store.create_issue(number, "odd", "is odd")
    assert high.issue_id.startswith("iss-") and len(high.issue_id) == 36
    assert (high.experiment_id, high.status, high.source_run_id) == (number, IssueStatus.PENDING, run.info.run_id)
    assert (high.root_causes, high.categories, high.created_by) == (["no tool", "no data"], ["hallucination"], "ada")
    assert (plain.severity, plain.root_causes, plain.source_run_id, plain.created_by) == (None, None, None, None)
    assert store.get_issue(high.issue_id).to_dictionary() == high.to_dictionary()

    found = store.search_issues(experiment_id=number)
    assert [i.name for i in found] == ["invents numbers", "slow", "odd"]
    assert found[0].trace_count is None

    solved = store.update_issue(low.issue_id, status=IssueStatus.RESOLVED, name="slower")
    assert (solved.name, solved.status, solved.severity, solved.description) == (
        "slower",
        IssueStatus.RESOLVED,
        IssueSeverity.LOW,
        "takes long",
    )
    assert solved.last_updated_timestamp >= low.last_updated_timestamp

    def names(filter_string):
        return [i.name for i in store.search_issues(experiment_id=number, filter_string=filter_string)]

    assert names("status = 'pending'") == ["invents numbers", "odd"]
    assert names("status != 'pending'") == ["slower"]
    assert names(f"source_run_id = '{run.info.run_id}' AND status = 'pending'") == ["invents numbers"]
    first = store.search_issues(experiment_id=number, max_results=2)
    assert [i.name for i in first] == ["invents numbers", "slower"]
    rest = store.search_issues(experiment_id=number, max_results=2, page_token=first.token)
    assert [i.name for i in rest] == ["odd"] and rest.token is None


def test_issues_count_the_traces_that_name_them(store, experiment):
    from mlflow.entities import AssessmentSource, IssueReference

    rare = store.create_issue(experiment.experiment_id, "rare", "seen once")
    frequent = store.create_issue(experiment.experiment_id, "frequent", "seen twice")
    unseen = store.create_issue(experiment.experiment_id, "unseen", "never seen")
    for issue, times in ((rare, 1), (frequent, 2)):
        for _ in range(times):
            reference = IssueReference(
                trace_id=a_trace(),
                issue_id=issue.issue_id,
                issue_name=issue.name,
                source=AssessmentSource(source_type="CODE", source_id="test"),
            )
            store.create_assessment(reference)
            # Twice on a trace is one trace.
            store.create_assessment(reference)
    found = store.search_issues(experiment_id=experiment.experiment_id, include_trace_count=True)
    assert [(i.issue_id, i.trace_count) for i in found] == [
        (frequent.issue_id, 2),
        (rare.issue_id, 1),
        (unseen.issue_id, 0),
    ]
    first = store.search_issues(experiment_id=experiment.experiment_id, include_trace_count=True, max_results=1)
    rest = store.search_issues(
        experiment_id=experiment.experiment_id, include_trace_count=True, max_results=5, page_token=first.token
    )
    assert [i.name for i in rest] == ["rare", "unseen"]


@pytest.mark.skipif(not hasattr(mlflow, "log_issue"), reason="this version of MLflow has no log_issue")
def test_an_issue_is_logged_to_a_trace(store, experiment):
    issue = store.create_issue(experiment.experiment_id, "wrong page", "cites another page")
    trace_id = a_trace()
    mlflow.log_issue(trace_id=trace_id, issue_id=issue.issue_id, rationale="see span 2")
    [assessment] = mlflow.get_trace(trace_id).info.assessments
    assert (assessment.issue_id, assessment.issue_name) == (issue.issue_id, "wrong page")
    found = mlflow.search_traces(
        locations=[experiment.experiment_id], filter_string=f"issue.id = '{issue.issue_id}'", return_type="list"
    )
    assert [trace.info.trace_id for trace in found] == [trace_id]
    with pytest.raises(MlflowException, match="not found"):
        mlflow.log_issue(trace_id=trace_id, issue_id="iss-" + "0" * 32)


def test_bad_issues(store, experiment, raw_post):
    number = experiment.experiment_id
    with pytest.raises(MlflowException, match="not found"):
        store.get_issue("iss-" + "0" * 32)
    with pytest.raises(MlflowException, match="not found"):
        store.update_issue("nonsense", name="x")
    with pytest.raises(MlflowException, match="999999999"):
        store.create_issue("999999999", "a", "b")
    assert list(store.search_issues(experiment_id="999999999")) == []
    for filter_string in ("severity = 'high'", "status LIKE 'p%'", "status >", "status = 'a' status"):
        with pytest.raises(MlflowException) as refused:
            store.search_issues(experiment_id=number, filter_string=filter_string)
        assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    for body in ({}, {"experiment_id": number}, {"experiment_id": number, "name": "a"}):
        status, answer = raw_post("/api/3.0/mlflow/issues", body)
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@catena_only
@pytest.mark.parametrize(
    "bad",
    [{"status": "odd"}, {"severity": "worst"}, {"name": "n" * 251}, {"source_run_id": "0" * 32}, {"categories": [""]}],
)
def test_bad_issues_that_mlflow_answers_with_an_error_of_its_own(experiment, raw_post, bad):
    body = {"experiment_id": experiment.experiment_id, "name": "a", "description": "b", **bad}
    status, answer = raw_post("/api/3.0/mlflow/issues", body)
    assert status in (400, 404) and "error_code" in answer


@reviews
def test_label_schemas(experiment):
    correct = label_schemas.create_label_schema(
        name="Is the answer correct?",
        type="feedback",
        input=InputPassFail(positive_label="Correct", negative_label="Wrong"),
        instruction="Compare it with the page.",
        enable_comment=True,
    )
    assert correct.schema_id.startswith("ls-") and correct.experiment_id == experiment.experiment_id
    label_schemas.create_label_schema(
        name="tone", type="feedback", input=InputCategorical(options=["a", "b"], multi_select=True)
    )
    label_schemas.create_label_schema(name="score", type="feedback", input=InputNumeric(min_value=0, max_value=0.5))
    label_schemas.create_label_schema(name="answer", type="expectation", input=InputText(max_length=100))
    by_name = {s.name: s for s in label_schemas.list_label_schemas()}
    assert set(by_name) == {"Is the answer correct?", "tone", "score", "answer", "Feedback"}
    assert by_name["Feedback"].is_default and by_name["Feedback"].input == InputText()
    assert by_name["tone"].input == InputCategorical(options=["a", "b"], multi_select=True)
    assert by_name["score"].input == InputNumeric(min_value=0.0, max_value=0.5)
    assert by_name["answer"].input == InputText(max_length=100) and str(by_name["answer"].type) == "expectation"
    assert label_schemas.get_label_schema(schema_id=correct.schema_id) == correct
    assert label_schemas.get_label_schema("Is the answer correct?", experiment_id=experiment.experiment_id) == correct

    changed = label_schemas.update_label_schema(
        correct.schema_id, name="Correct?", input=InputPassFail(positive_label="Yes", negative_label="No")
    )
    assert (changed.name, changed.instruction, changed.enable_comment) == ("Correct?", "Compare it with the page.", True)
    assert changed.input.positive_label == "Yes"
    label_schemas.delete_label_schema(schema_id=correct.schema_id)
    label_schemas.delete_label_schema(schema_id=correct.schema_id)
    with pytest.raises(MlflowException, match="not found") as gone:
        label_schemas.get_label_schema(schema_id=correct.schema_id)
    assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"

    pages, token = [], None
    while True:
        page = label_schemas.list_label_schemas(max_results=2, page_token=token)
        pages.append([s.name for s in page])
        token = page.token
        if token is None:
            break
    assert sorted(sum(pages, [])) == ["Feedback", "answer", "score", "tone"] and len(pages) == 2


@reviews
def test_bad_label_schemas(experiment):
    def refused(code="INVALID_PARAMETER_VALUE", **given):
        with pytest.raises(MlflowException) as error:
            label_schemas.create_label_schema(
                **{"name": "q", "type": "feedback", "input": InputText(), **given}
            )
        assert error.value.error_code == code

    refused(name="n" * 251)
    refused(name=" feedback ")
    refused(instruction="i" * 1001)
    refused(input=InputPassFail(positive_label="a", negative_label="a"))
    refused(input=InputPassFail(positive_label="a" * 65, negative_label="b"))
    refused(input=InputCategorical(options=[]))
    refused(input=InputCategorical(options=["a", "a"]))
    refused(input=InputCategorical(options=[str(i) for i in range(11)]))
    refused(input=InputNumeric(min_value=1, max_value=1))
    refused(input=InputText(max_length=0))
    refused(code="RESOURCE_DOES_NOT_EXIST", experiment_id="999999999")
    made = label_schemas.create_label_schema(name="q", type="feedback", input=InputCategorical(options=["a"]))
    refused(code="RESOURCE_ALREADY_EXISTS")
    for change in (InputText(), InputCategorical(options=["a"], multi_select=True)):
        with pytest.raises(MlflowException) as error:
            label_schemas.update_label_schema(made.schema_id, input=change)
        assert error.value.error_code == "INVALID_PARAMETER_VALUE"
    default = next(s for s in label_schemas.list_label_schemas() if s.is_default)
    with pytest.raises(MlflowException, match="cannot be edited"):
        label_schemas.update_label_schema(default.schema_id, instruction="x")
    with pytest.raises(MlflowException, match="cannot be deleted"):
        label_schemas.delete_label_schema(schema_id=default.schema_id)


@reviews
def test_review_queues(experiment, unique):
    number = experiment.experiment_id
    question = label_schemas.create_label_schema(name="good?", type="feedback", input=InputText())
    queue = review_queues.create_review_queue(
        name=" Complaints ", queue_type="custom", users=["Grace", "ada", "ADA"], schema_ids=[question.schema_id]
    )
    assert queue.queue_id.startswith("rq-") and queue.experiment_id == number
    assert (queue.name, str(queue.queue_type), queue.users) == ("Complaints", "custom", ["ada", "grace"])
    assert queue.schema_ids == [question.schema_id]
    assert review_queues.get_review_queue(queue_id=queue.queue_id) == queue
    assert review_queues.get_review_queue(name="COMPLAINTS") == queue
    own = review_queues.get_or_create_user_queue(user=" Ada ")
    assert (own.name, str(own.queue_type), own.users, own.schema_ids, own.created_by) == ("ada", "user", ["ada"], [], "ada")
    assert review_queues.get_or_create_user_queue(user="ADA") == own
    assert {q.name for q in review_queues.list_review_queues()} == {"Complaints", "ada"}
    assert {q.name for q in review_queues.list_review_queues(user="grace")} == {"Complaints"}
    first = review_queues.list_review_queues(max_results=1)
    rest = review_queues.list_review_queues(max_results=1, page_token=first.token)
    assert {first[0].name, rest[0].name} == {"Complaints", "ada"} and rest.token is None

    one, two, three = a_trace(), a_trace(), a_trace()
    items = review_queues.add_items_to_review_queue(queue.queue_id, item_ids=[two, one, two])
    assert [(i.item_id, str(i.status), i.completed_by) for i in items] == [(two, "pending", None), (one, "pending", None)]
    done = review_queues.set_review_queue_item_status(
        queue.queue_id, item_id=one, status="complete", completed_by="Grace"
    )
    assert (str(done.status), done.completed_by) == ("complete", "grace") and done.completed_time_ms > 0
    again = review_queues.set_review_queue_item_status(
        queue.queue_id, item_id=one, status="complete", completed_by="ada"
    )
    assert again == done
    items = review_queues.add_items_to_review_queue(queue.queue_id, item_ids=[one, three])
    assert [str(i.status) for i in items] == ["complete", "pending"]
    listed = review_queues.list_review_queue_items(queue.queue_id, status="pending")
    assert {i.item_id for i in listed} == {two, three}
    pages = review_queues.list_review_queue_items(queue.queue_id, max_results=2)
    pages = list(pages) + list(
        review_queues.list_review_queue_items(queue.queue_id, max_results=2, page_token=pages.token)
    )
    assert {i.item_id for i in pages} == {one, two, three} and len(pages) == 3
    assert pages[0].item_id == three
    reopened = review_queues.set_review_queue_item_status(queue.queue_id, item_id=one, status="pending")
    assert (str(reopened.status), reopened.completed_by, reopened.completed_time_ms) == ("pending", None, None)
    assert [q.name for q in _get_store().list_review_queues(number, item_id=three)] == ["Complaints"]

    with pytest.raises(MlflowException, match="locked"):
        review_queues.update_review_queue(queue.queue_id, schema_ids=[])
    review_queues.remove_items_from_review_queue(queue.queue_id, item_ids=[one, "tr-elsewhere"])
    # A trace that is deleted leaves its queues.
    mlflow.MlflowClient().delete_traces(number, trace_ids=[two, three])
    assert list(review_queues.list_review_queue_items(queue.queue_id)) == []
    changed = review_queues.update_review_queue(
        queue.queue_id, name="complaints", users=[], schema_ids=[], new_owner="Grace"
    )
    assert (changed.name, changed.users, changed.schema_ids, changed.created_by) == ("complaints", [], [], "Grace")
    review_queues.delete_review_queue(queue.queue_id)
    review_queues.delete_review_queue(queue.queue_id)
    with pytest.raises(MlflowException, match="not found"):
        review_queues.get_review_queue(queue_id=queue.queue_id)


@reviews
def test_bad_review_queues(experiment, unique):
    def refused(code, call, *args, **given):
        with pytest.raises(MlflowException) as error:
            call(*args, **given)
        assert error.value.error_code == code

    bad, missing = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"
    create = partial(review_queues.create_review_queue, queue_type="custom")
    refused(bad, create, name="Default")
    refused(bad, create, name="n" * 251)
    refused(bad, create, name="q", users=[str(i) for i in range(11)])
    refused(bad, create, name="q", users=[" "])
    refused(bad, create, name="q", schema_ids=["ls-" + "0" * 32])
    refused(bad, create, name="q", schema_ids=["nonsense"])
    refused(missing, create, name="q", experiment_id="999999999")
    queue = create(name="q")
    refused("RESOURCE_ALREADY_EXISTS", create, name="Q")
    refused("RESOURCE_ALREADY_EXISTS", review_queues.get_or_create_user_queue, user="q")
    refused("RESOURCE_ALREADY_EXISTS", review_queues.update_review_queue, create(name="other").queue_id, name="Q")
    own = review_queues.get_or_create_user_queue(user="ada")
    refused(bad, review_queues.update_review_queue, own.queue_id, name="x")
    refused(missing, review_queues.get_review_queue, queue_id="rq-" + "0" * 32)
    refused(missing, review_queues.get_review_queue, name="nobody")

    trace = a_trace()
    add, set_status = review_queues.add_items_to_review_queue, review_queues.set_review_queue_item_status
    refused(bad, add, queue.queue_id, item_ids=[])
    refused(missing, add, queue.queue_id, item_ids=[trace, "tr-" + "0" * 32])
    refused(missing, add, "nonsense", item_ids=[trace])
    assert list(review_queues.list_review_queue_items(queue.queue_id)) == []
    mlflow.set_experiment(unique("elsewhere"))
    refused(missing, add, queue.queue_id, item_ids=[a_trace()])
    add(queue.queue_id, item_ids=[trace])
    refused(bad, set_status, queue.queue_id, item_id=trace, status="complete")
    refused(bad, set_status, queue.queue_id, item_id=trace, status="pending", completed_by="ada")
    refused(bad, set_status, queue.queue_id, item_id=trace, status="declined", completed_by="u" * 251)
    refused(missing, set_status, queue.queue_id, item_id="tr-" + "0" * 32, status="declined", completed_by="ada")
