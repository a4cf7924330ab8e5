"""What the webhook answers: a table of Clusters, and properties over every request there can be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reviews import HOLDING, PLAIN, SECRET, applied, cluster, patched, review
from towpath.errors import InvalidObject
from towpath_webhook import admission
from towpath_webhook.app import BODY_LIMIT, app
from towpath_webhook.clusters import DROPPED, IF_APPLIED, WAS_STORED
from towpath_webhook.conditions import APPLIED
from towpath_webhook.registry import MUTATE_CLUSTERS


def ask(obj: object, old: object = None) -> dict[str, Any]:
    answer = json.loads(admission.answer(admission.RULES[MUTATE_CLUSTERS], review(obj, old)))
    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response: dict[str, Any] = answer["response"]
    assert response["uid"] == "u-1"
    assert response["allowed"] is True
    return response


@pytest.mark.parametrize(
    ("obj", "want", "warnings"),
    [
        pytest.param(PLAIN, PLAIN, [], id="without one"),
        pytest.param(HOLDING, PLAIN, [DROPPED, IF_APPLIED], id="in the spec"),
        pytest.param(
            applied(HOLDING, HOLDING), applied(PLAIN, PLAIN), [DROPPED, IF_APPLIED], id="kubectl apply"
        ),
        pytest.param(
            applied(HOLDING, PLAIN), applied(PLAIN, PLAIN), [DROPPED, IF_APPLIED], id="in the copy only"
        ),
        pytest.param(applied(PLAIN, PLAIN), applied(PLAIN, PLAIN), [], id="kubectl apply without one"),
        pytest.param(
            applied("{kubeconfig", HOLDING),
            applied("{kubeconfig", PLAIN),
            [DROPPED, IF_APPLIED],
            id="no JSON",
        ),
        pytest.param(cluster(kubeconfig=""), cluster(kubeconfig=""), [], id="empty, as a CRD may default it"),
        pytest.param(cluster(kubeconfig=None), cluster(kubeconfig=None), [], id="null"),
        pytest.param(cluster(kubeconfig={"a": 1}), PLAIN, [DROPPED, IF_APPLIED], id="of a wrong type"),
        pytest.param({"spec": "kubeconfig"}, {"spec": "kubeconfig"}, [], id="spec of a wrong type"),
        pytest.param({}, {}, [], id="nothing in it"),
    ],
)
def test_kubeconfigs_are_dropped(obj: dict[str, Any], want: dict[str, Any], warnings: list[str]) -> None:
    response = ask(obj)
    once = patched(obj, response)
    assert normal(once) == normal(want)
    assert response.get("warnings", []) == warnings
    assert "patch" not in ask(once), "a second pass finds nothing"


def normal(obj: dict[str, Any]) -> dict[str, Any]:
    """Return the object with kubectl's copy decoded, if it can be."""
    text = obj.get("metadata", {}).get("annotations", {}).get(APPLIED)
    if not text or not text.endswith("}\n"):
        return obj
    return applied("", obj) | {"copy": json.loads(text)}


@pytest.mark.parametrize("old", [HOLDING, applied(HOLDING, PLAIN)], ids=["spec", "copy"])
def test_a_credential_that_was_stored_is_told(old: dict[str, Any]) -> None:
    assert ask(HOLDING, old)["warnings"] == [DROPPED, WAS_STORED]


def test_deletion_passes() -> None:
    assert ask(None, HOLDING) == {"uid": "u-1", "allowed": True}


def test_warnings_are_short_enough_to_arrive_whole() -> None:
    assert all(len(text.encode()) <= 256 for text in (DROPPED, IF_APPLIED, WAS_STORED))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "Invalid JSON"),
        (b"\xff", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b"[]", "AdmissionReview"),
        (b"{}", "apiVersion"),
        (review(HOLDING).replace(b"k8s.io/v1", b"k8s.io/v1beta1"), "at apiVersion"),
        (review(HOLDING, uid=""), "at request.uid"),
        (review(HOLDING, uid=[SECRET]), "at request.uid"),
        (review(SECRET), "at request.object"),
        (review(PLAIN, SECRET), "at request.oldObject"),
    ],
)
def test_what_is_no_question_is_refused_without_repeating_it(body: bytes, told: str) -> None:
    with pytest.raises(InvalidObject) as caught:
        admission.answer(admission.RULES[MUTATE_CLUSTERS], body)
    message = str(caught.value)
    assert told in message
    assert "apiVersion: v1" not in message
    assert "\n" not in message


JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
ANY_SPEC = (
    st.fixed_dictionaries({}, optional={"kubeconfig": JSON_VALUE, "gatewayHost": JSON_VALUE}) | JSON_VALUE
)
ANY_COPY = st.fixed_dictionaries({"spec": ANY_SPEC}).map(json.dumps) | st.text() | JSON_VALUE
ANY_CLUSTER = st.fixed_dictionaries(
    {},
    optional={
        "spec": ANY_SPEC,
        "metadata": st.fixed_dictionaries(
            {}, optional={"annotations": st.dictionaries(st.just(APPLIED) | st.text(), ANY_COPY) | JSON_VALUE}
        )
        | JSON_VALUE,
    },
)
ANY_BODY = (
    st.binary()
    | JSON_VALUE.map(json.dumps).map(str.encode)
    | st.builds(review, ANY_CLUSTER | JSON_VALUE, ANY_CLUSTER | JSON_VALUE, uid=JSON_VALUE)
)


async def post(body: bytes, path: str = MUTATE_CLUSTERS, **headers: str) -> tuple[int, bytes]:
    """Send one POST to the application, in pieces, and return status and body."""
    sent: list[dict[str, Any]] = []
    pieces = [body[at : at + 1_000_000] for at in range(0, len(body), 1_000_000)] or [b""]
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages[-1]["more_body"] = False

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    given = {"content_type": "application/json; charset=utf-8", **headers}
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
    await app({"type": "http", "path": path, "method": "POST", "headers": pairs}, receive, send)
    start, end = sent
    assert dict(start["headers"])[b"content-length"] == str(len(end["body"])).encode()
    return start["status"], end["body"]


@given(body=ANY_BODY)
async def test_any_body_is_answered_or_refused(body: bytes) -> None:
    status, answer = await post(body)
    assert status in {200, 400}
    if status == 200:
        response = json.loads(answer)["response"]
        assert response["allowed"] is True
        assert response["uid"] == json.loads(body)["request"]["uid"]


@given(obj=ANY_CLUSTER)
def test_any_cluster_is_clean_after_one_pass(obj: dict[str, Any]) -> None:
    obj = json.loads(json.dumps(obj))
    try:
        response = ask(obj)
    except InvalidObject:
        return  # lone surrogates are no JSON
    once = patched(obj, response)
    assert bool(response.get("warnings")) == ("patch" in response)
    assert not isinstance(once.get("spec"), dict) or not once["spec"].get("kubeconfig")
    assert "patch" not in ask(once)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"path": "/admit/nothing"}, 404),
        ({"content_type": "text/yaml"}, 415),
        ({"content_type": "application/jsonp"}, 415),
        ({"content_length": str(BODY_LIMIT + 1)}, 413),
        ({"body": b" " * (BODY_LIMIT + 1)}, 413),
        ({"body": b" " * BODY_LIMIT}, 400),
    ],
)
async def test_status_codes(request_: dict[str, Any], status: int) -> None:
    assert (await post(request_.pop("body", review(PLAIN)), **request_))[0] == status


async def test_a_rule_that_fails_is_a_500_without_details(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_request: object) -> Any:
        raise RuntimeError(SECRET)

    monkeypatch.setitem(admission.RULES, "/admit/broken", broken)  # type: ignore[arg-type]
    status, body = await post(review(PLAIN), "/admit/broken")
    assert status == 500
    assert b"apiVersion" not in body
    assert b"Traceback" not in body
