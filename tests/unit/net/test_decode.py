"""What the agent reads of objects: tolerant of what it does not know, exact about what it uses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from towpath.datapath.allocation import Allocation, ImportedPort, PathClaim
from towpath.datapath.world import Slice, SliceEndpoint, SlicePort
from towpath.errors import InvalidObject
from towpath.model.keys import Dialect, ServiceKey
from towpath.net import decode
from towpath.net.allocation_store import stored


def raw(spec: object = None, **more: Any) -> bytes:
    meta = {
        "name": "web",
        "namespace": "shop",
        "uid": "1",
        "resourceVersion": "7",
        **more.pop("metadata", {}),
    }
    return json.dumps({"metadata": meta, "spec": spec or {}, **more}).encode()


def test_conditions_of_endpoints() -> None:
    labels = {"kubernetes.io/service-name": "web"}
    endpoints = [
        {"addresses": ["10.0.0.1"]},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": False}, "nodeName": "n"},
        {"addresses": ["10.0.0.3"], "conditions": {"ready": False, "serving": True, "terminating": True}},
        {"addresses": []},
    ]
    found = decode.endpoint_slice(
        raw(
            metadata={"labels": labels},
            addressType="IPv4",
            ports=[{"port": 80}, {"name": "all"}],
            endpoints=endpoints,
        )
    )
    assert found == Slice(
        "web",
        "IPv4",
        (SlicePort("", 80),),
        (
            SliceEndpoint("10.0.0.1"),
            SliceEndpoint("10.0.0.2", ready=False, serving=False, node="n"),
            SliceEndpoint("10.0.0.3", ready=False, serving=True),
        ),
    )
    assert decode.endpoint_slice(raw(addressType="IPv4", ports=None, endpoints=None)) is None


@pytest.mark.parametrize(
    ("read", "spec"),
    [
        (decode.service_import, {}),
        (decode.service_import, {"ports": [{"port": "80"}]}),
        (decode.service_export, {"rules": [{"portNumber": "x"}]}),
        (decode.service_export, {"loadBalancer": "Fair"}),
        (decode.traffic_policy, {"lbType": "All"}),
        (decode.traffic_policy, {"targets": [{"clusterKey": 1}]}),
        (decode.service, {"ports": [{}]}),
    ],
)
def test_an_unreadable_object_is_named(read: Any, spec: object) -> None:
    with pytest.raises(InvalidObject, match="shop/web: spec"):
        read(raw(spec or {"x": 1}))


@pytest.mark.parametrize(
    "read", [decode.service_import, decode.service_export, decode.traffic_policy, decode.service]
)
def test_an_object_that_is_being_deleted_is_gone(read: Any) -> None:
    assert read(raw(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})) is None


def test_the_allocation_as_it_is_kept() -> None:
    ports, paths = {"shop/a.b:80": 20001}, {"Prefix /web": "flomesh.io/shop/web"}
    found = stored(raw(data={"ports": json.dumps(ports), "paths": json.dumps(paths)}))
    assert found.version == "7"
    assert found.allocation == Allocation(
        {ImportedPort("shop", "a.b", 80): 20001},
        {PathClaim("/web", "Prefix"): ServiceKey(Dialect.FLOMESH, "shop", "web")},
    )


@pytest.mark.parametrize(
    "data",
    [
        {"ports": "{"},
        {"ports": '{"x": 1}'},
        {"ports": '{"a/b:c": 1}'},
        {"paths": '{"/a": "b"}'},
        {"ports": "[]"},
    ],
)
def test_an_allocation_that_cannot_be_read_is_refused(data: object) -> None:
    with pytest.raises(InvalidObject, match="allocation"):
        stored(raw(data=data))


@pytest.mark.parametrize(
    ("status", "serving", "unanswered"),
    [
        (None, None, {}),
        ({"conditions": [{"type": "Valid", "status": "True"}]}, None, {}),
        ({"conditions": [{"type": "Serving", "status": "False"}]}, False, {}),
        ({"conditions": [{"type": "Serving", "status": "True"}]}, True, {}),
        ({"unanswered": [{"clusterKey": "a/b/c/d", "since": "x"}]}, None, {"a/b/c/d": "x"}),
        ({"conditions": "odd"}, None, {}),
        ("odd", None, {}),
    ],
)
def test_what_a_status_states(status: object, serving: bool | None, unanswered: dict[str, str]) -> None:
    obj = raw() if status is None else raw(status=status)
    assert (decode.is_serving(obj), decode.unanswered(obj)) == (serving, unanswered)
