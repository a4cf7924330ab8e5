"""The answer to ``towpath install``: the nonce that was asked for, and nothing without one."""

from __future__ import annotations

import json
from typing import Any

from towpath_webhook.admission import probe, review
from towpath_webhook.admission.review import ALLOW, Request
from towpath_webhook.registration.configurations import probed


def request(obj: dict[str, Any]) -> Request:
    head = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
    return review.decode(json.dumps({**head, "request": {"uid": "u", "object": obj}}).encode())


def test_the_nonce_comes_back_as_an_annotation() -> None:
    (patch,) = probe.answer_probe(request(probed("n1"))).patch
    assert patch == {"op": "add", "path": "/metadata/annotations", "value": {probe.ANSWER: "n1"}}


def test_an_object_without_a_nonce_is_left_alone() -> None:
    assert probe.answer_probe(request({"metadata": {"labels": {probe.LABEL: 1}}})) == ALLOW
    assert probe.answer_probe(request({})) == ALLOW
