"""Bodies of every kind for the webhook: questions that are nearly right, objects that are nearly objects."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.support.reviews import question, review
from towpath.model.ownership import LAST_APPLIED, MANAGED_BY_LABEL, VIEW_ANNOTATION
from towpath_webhook.admission.hooks import HOOKS, INTERPRET

PATHS = st.sampled_from([*(hook.path for hook in HOOKS), INTERPRET])

SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
WORD = st.sampled_from(
    ["", "/", "/web", "web", "Prefix", "Exact", "a/b/c/d", "TCP", "10.0.2.4", "127.0.0.1", "gw.example.com",
     "ActiveActive", "FailOver", "Locality", "ClusterSetIP", "*", "x" * 300]
)  # fmt: skip
NUMBER = st.sampled_from([-1, 0, 1, 80, 65535, 65536, 2**31, 2**63, 2**64, 10**40, 0.5, True])


def subset_of(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return objects with some of these fields, or something else."""
    return st.fixed_dictionaries({}, optional=fields) | VALUE


def several(item: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(item, max_size=4) | VALUE


FIELD = WORD | NUMBER | VALUE
SPEC = subset_of(
    rules=several(subset_of(portNumber=FIELD, path=FIELD, pathType=FIELD)),
    pathRewrite=subset_of(**{"from": FIELD, "to": FIELD}),
    targetClusters=several(FIELD),
    serviceAccountName=FIELD,
    loadBalancer=FIELD,
    lbType=FIELD,
    targets=several(subset_of(clusterKey=FIELD, weight=FIELD)),
    ports=several(
        subset_of(
            port=FIELD, protocol=FIELD, endpoints=several(subset_of(target=subset_of(ip=FIELD, port=FIELD)))
        )
    ),
    type=FIELD,
    ips=several(FIELD),
    kubeconfig=FIELD,
    gatewayHost=FIELD,
    gatewayPort=FIELD,
    region=FIELD,
    zone=FIELD,
)
COPY = st.fixed_dictionaries({"spec": SPEC}).map(json.dumps) | FIELD
METADATA = subset_of(
    name=FIELD,
    namespace=FIELD,
    labels=subset_of(**{MANAGED_BY_LABEL: st.just("towpath") | FIELD}),
    annotations=subset_of(
        **{LAST_APPLIED: COPY, VIEW_ANNOTATION: FIELD, "towpath.io/when-unreachable": FIELD}
    ),
    ownerReferences=several(subset_of(kind=st.just("ServiceExport") | FIELD, name=FIELD)),
    deletionTimestamp=st.none() | FIELD,
)
STATUS = subset_of(
    conditions=several(subset_of(type=st.sampled_from(["Valid", "Conflict"]) | FIELD, status=FIELD))
)
OBJECT = subset_of(
    apiVersion=st.sampled_from(["flomesh.io/v1alpha1", "multicluster.flomesh.io/v1alpha1"]) | FIELD,
    kind=st.sampled_from(
        ["ServiceExport", "ServiceImport", "GlobalTrafficPolicy", "Cluster", "PropagationPolicy"]
    )
    | FIELD,
    metadata=METADATA,
    spec=SPEC,
    status=STATUS,
)
PLACED = st.fixed_dictionaries(
    {"apiVersion": st.just("flomesh.io/v1alpha1"), "kind": st.just("ServiceExport"), "spec": SPEC},
    optional={"metadata": st.fixed_dictionaries({"name": st.just("web")})},
)


def interpreted(obj: object, operation: object, uid: object, reported: object) -> bytes:
    """Return the question that Karmada asks."""
    request = {"uid": uid, "operation": operation, "object": obj, "aggregatedStatus": reported, "replicas": 0}
    return json.dumps(
        {
            "apiVersion": "config.karmada.io/v1alpha1",
            "kind": "ResourceInterpreterContext",
            "request": request,
        }
    ).encode()


UID = st.just("u-1") | st.text(max_size=4) | VALUE
ADMISSIONS = st.builds(
    review,
    OBJECT,
    OBJECT,
    uid=UID,
    operation=st.sampled_from(["CREATE", "UPDATE", "DELETE"]) | FIELD,
    userInfo=subset_of(username=FIELD, groups=several(FIELD)),
)
INTERPRETATIONS = st.builds(
    interpreted,
    OBJECT,
    st.sampled_from(["AggregateStatus", "InterpretHealth", "Retain"]) | FIELD,
    UID,
    several(OBJECT),
)


def damaged(parts: tuple[bytes, int, bytes]) -> bytes:
    """Return a body with some bytes in its middle replaced."""
    body, at, junk = parts
    at %= len(body) + 1
    return body[:at] + junk + body[at + len(junk) :]


WHOLE = ADMISSIONS | INTERPRETATIONS | st.builds(question, PLACED, st.none() | PLACED)
BODIES = (
    WHOLE
    | st.tuples(WHOLE, st.integers(0, 4000), st.binary(max_size=6)).map(damaged)
    | st.tuples(WHOLE, st.integers(0, 4000)).map(lambda both: both[0][: both[1]])
    | st.binary(max_size=40)
    | VALUE.map(json.dumps).map(str.encode)
)
