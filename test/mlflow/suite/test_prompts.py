import mlflow
import pytest
from conftest import catena_only
from mlflow.exceptions import MlflowException


def test_a_text_prompt(unique):
    name = unique("prompt")
    first = mlflow.genai.register_prompt(name, "Hello {{customer}}, about {{topic}}.", commit_message="first", tags={"team": "support"})
    assert first.version == 1 and first.variables == {"customer", "topic"}
    second = mlflow.genai.register_prompt(name, "Dear {{customer}}.")
    assert second.version == 2
    loaded = mlflow.genai.load_prompt(name, version=1)
    assert loaded.template == "Hello {{customer}}, about {{topic}}." and loaded.commit_message == "first"
    assert loaded.tags["team"] == "support"
    assert loaded.format(customer="Ana", topic="a refund") == "Hello Ana, about a refund."
    assert mlflow.genai.load_prompt(f"prompts:/{name}/2").template == "Dear {{customer}}."
    assert mlflow.genai.load_prompt(f"prompts:/{name}@latest").version == 2
    mlflow.genai.set_prompt_alias(name, "production", 1)
    assert mlflow.genai.load_prompt(f"prompts:/{name}@production").version == 1
    mlflow.genai.set_prompt_alias(name, "production", 2)
    mlflow.genai.delete_prompt_alias(name, "production")
    with pytest.raises(MlflowException):
        mlflow.genai.load_prompt(f"prompts:/{name}@gone")
    mlflow.genai.set_prompt_tag(name, "owner", "ana")
    assert mlflow.genai.get_prompt_tags(name)["owner"] == "ana"
    mlflow.genai.delete_prompt_tag(name, "owner")
    mlflow.genai.set_prompt_version_tag(name, 1, "rated", "5")
    assert mlflow.genai.load_prompt(name, version=1, cache_ttl_seconds=0).tags["rated"] == "5"
    mlflow.genai.delete_prompt_version_tag(name, 1, "rated")


def test_the_same_text_again_is_another_version(unique):
    name = unique("prompt")
    assert mlflow.genai.register_prompt(name, "Same.").version == 1
    assert mlflow.genai.register_prompt(name, "Same.").version == 2


def test_a_chat_prompt_with_format_and_model(unique):
    from pydantic import BaseModel

    class Answer(BaseModel):
        text: str
        score: float

    name = unique("chat")
    template = [{"role": "system", "content": "You are {{who}}."}, {"role": "user", "content": "{{question}}"}]
    mlflow.genai.register_prompt(
        name, template, response_format=Answer, model_config={"model_name": "small", "temperature": 0.2}
    )
    loaded = mlflow.genai.load_prompt(name, version=1)
    assert loaded.template == template and not loaded.is_text_prompt
    assert loaded.response_format["properties"]["score"]["type"] == "number"
    assert loaded.model_config["model_name"] == "small"
    assert loaded.format(who="a clerk", question="Why?")[1]["content"] == "Why?"


@pytest.mark.parametrize(
    "template",
    ["{% if x %}yes{% endif %}", "{{ a.b }} and {{ c | upper }}", "{{ unclosed", "no variables", "ünï {{näme}}", "{{messages}} twice {{messages}}", "x" * 90_000],
)
def test_any_template_is_kept(unique, template):
    name = unique("any")
    mlflow.genai.register_prompt(name, template)
    assert mlflow.genai.load_prompt(name, version=1).template == template


def test_prompts_are_searched_apart_from_models(unique, client):
    prefix = unique("p")
    for i in range(3):
        mlflow.genai.register_prompt(f"{prefix}-{i}", "x", tags={"nth": str(i)})
    client.create_registered_model(f"{prefix}-model")
    assert [p.name for p in mlflow.genai.search_prompts(f"name LIKE '{prefix}%'")] == [f"{prefix}-{i}" for i in range(3)]
    assert [m.name for m in client.search_registered_models(f"name LIKE '{prefix}%'")] == [f"{prefix}-model"]


def test_a_prompt_and_a_model_share_no_name(unique, client):
    name = unique("taken")
    mlflow.genai.register_prompt(name, "x")
    with pytest.raises(MlflowException) as error:
        client.create_registered_model(name)
    assert error.value.error_code == "RESOURCE_ALREADY_EXISTS"


@catena_only
def test_a_prompt_is_the_same_natively(unique, native):
    name = unique("both")
    mlflow.genai.register_prompt(name, "Hello {{customer}}.")
    seen = native.get(f"/prompts/{name}/versions/1")
    assert seen["content"] == {"type": "text", "text": "Hello {{customer}}."}
    other = unique("native")
    native.post("/prompts", {"name": other})
    native.post(f"/prompts/{other}/versions", {"content": {"type": "chat", "messages": [{"role": "user", "content": "Hi {{name}}"}]}})
    assert mlflow.genai.load_prompt(other, version=1).template == [{"role": "user", "content": "Hi {{name}}"}]
    assert other in [p.name for p in mlflow.genai.search_prompts(f"name = '{other}'")]


@catena_only
def test_the_text_of_a_version_never_changes(unique, client):
    name = unique("fixed")
    mlflow.genai.register_prompt(name, "one")
    with pytest.raises(MlflowException):
        client.set_model_version_tag(name, "1", "mlflow.prompt.text", "two")
    assert mlflow.genai.load_prompt(name, version=1, cache_ttl_seconds=0).template == "one"
