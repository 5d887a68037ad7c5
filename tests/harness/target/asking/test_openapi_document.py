"""An example of a request, from a server's OpenAPI document: what the server itself takes for one."""

import asyncio
import datetime as dt
import enum
import uuid
from typing import Annotated, Literal

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from tailgate.harness.target.asking import openapi


class Colour(enum.Enum):
    RED = "red"


class Inner(BaseModel):
    size: int = Field(gt=3)
    when: dt.datetime


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []


class Everything(BaseModel):
    text: str
    long: Annotated[str, Field(min_length=12)]
    short: Annotated[str, Field(max_length=2)]
    share: Annotated[float, Field(ge=0, le=0.5)]
    below: Annotated[float, Field(lt=0)]
    few: Annotated[list[float], Field(min_length=3)]
    pair: tuple[int, str]
    colour: Colour
    word: Literal["one", "two"]
    flag: bool
    inner: Inner
    tree: Tree
    either: Inner | None
    union: int | str
    name: Annotated[str, Field(examples=["Ada"])]
    key: uuid.UUID
    day: dt.date
    left_out: int = 3


class AllOptional(BaseModel):
    features: list[float] = []
    top: int = 1


def posted(app, path, body):
    async def post():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
            return await client.post(path, json=body)

    return asyncio.run(post())


def document_of(route):
    app = FastAPI()
    app.post("/score/{kind}")(route)
    return app, app.openapi()


@pytest.mark.parametrize("model", [Everything, AllOptional, Inner, Tree])
def test_a_service_takes_the_example_that_its_own_document_gives(model):
    def route(kind: int, body: model, wanted: str, unwanted: int = 1):
        return {"kind": kind}

    app, document = document_of(route)
    (operation,) = openapi.operations(document)
    body = openapi.body_of(operation, document)
    path = openapi.target_of(operation, document)
    answer = posted(app, path, body)
    assert (answer.status_code, path) == (200, "/score/1?wanted=text"), answer.text


def test_what_may_be_left_out_is_sent_only_where_nothing_else_is():
    def route(kind: int, body: AllOptional):
        return {}

    _, document = document_of(route)
    (operation,) = openapi.operations(document)
    assert openapi.body_of(operation, document) == {"features": [], "top": 1}


def test_a_form_is_no_json_body():
    operation = openapi.Operation(
        "POST", "/", {"requestBody": {"content": {"multipart/form-data": {"schema": {}}}}}
    )
    assert openapi.body_of(operation, {}) is None


def test_an_example_beside_the_schema_is_taken_first():
    media = {"schema": {"type": "integer"}, "examples": {"one": {"value": 7}, "two": {"value": 8}}}
    operation = openapi.Operation("POST", "/", {"requestBody": {"content": {openapi.JSON: media}}})
    assert openapi.body_of(operation, {}) == 7


@pytest.mark.parametrize("document", [None, [], "x", {}, {"paths": 3}, {"paths": {"/a": 3, 4: {}}}])
def test_a_document_that_is_none_offers_nothing(document):
    assert openapi.operations(document) == ()
    assert openapi.offered(document) == ""


def test_operations_are_named_with_those_first_that_take_a_body():
    paths = {f"/{index}": {"get": {}} for index in range(9)} | {"/score": {"post": {}, "summary": "x"}}
    assert openapi.offered({"paths": paths}).startswith("POST /score, GET /0, GET /1, ")
    assert openapi.offered({"paths": paths}).endswith(" and 2 more")


SCALARS = st.sampled_from(
    [
        {"type": "integer"},
        {"type": "integer", "minimum": 5, "maximum": 9},
        {"type": "integer", "exclusiveMinimum": 5},
        {"type": "integer", "multipleOf": 7},
        {"type": "number", "exclusiveMaximum": 0},
        {"type": "number", "minimum": 0.2, "maximum": 0.3},
        {"type": "string"},
        {"type": "string", "minLength": 9},
        {"type": "string", "maxLength": 1},
        {"type": "boolean"},
        {"type": "null"},
        {"type": ["null", "integer"]},
        {"enum": ["a", "b"]},
        {"const": 4},
    ]
)
SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner, "minItems": st.integers(min_value=0, max_value=3)}
        ),
        st.builds(
            lambda parts: {"type": "object", "properties": parts, "required": list(parts)},
            st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
        ),
        st.builds(lambda one: {"anyOf": [{"type": "null"}, one]}, inner),
    ),
    max_leaves=8,
)


@given(SCHEMAS)
def test_an_example_is_valid_by_its_schema(schema):
    Draft202012Validator(schema).validate(openapi.example(schema, {}))


def test_a_schema_that_must_hold_itself_ends():
    document = {"components": {"schemas": {"A": {"type": "object", "required": ["a"]}}}}
    document["components"]["schemas"]["A"]["properties"] = {"a": {"$ref": "#/components/schemas/A"}}
    assert isinstance(openapi.example({"$ref": "#/components/schemas/A"}, document), dict)
    loop = {"components": {"schemas": {"B": {"$ref": "#/components/schemas/B"}}}}
    assert openapi.example({"$ref": "#/components/schemas/B"}, loop) == "text"
