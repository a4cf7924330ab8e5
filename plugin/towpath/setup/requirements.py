"""What an apiserver must be so that Towpath can be installed in it, looked at before anything is changed.

Karmada's apiserver is Kubernetes' and does not tell Karmada's version. The definitions of Karmada's kinds do:
the oldest version that works is the first whose bindings say which clusters are suspended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import reduce
from typing import Any

from towpath.errors import ApiError, NotFound, Unreachable, Unsuitable
from towpath.karmada import resources
from towpath.karmada.answers import FORBIDDEN, UNAUTHORIZED
from towpath.karmada.client import Client, Object

OLDEST_KUBERNETES = (1, 30)
"""The first Kubernetes with admission policies."""
OLDEST_KARMADA = "1.11"
BINDINGS = str(resources.BINDINGS)
"""The CRD that tells how old Karmada is."""
_NO_TOKENS = (
    "The user cannot create serviceaccounts/token, which plugin and webhook need for their credentials. Use "
    "the kubeconfig of an administrator of the Karmada apiserver."
)
_SUSPENSION = ("spec", "suspension", "dispatchingOnClusters")


async def require(client: Client, *, issues_tokens: bool) -> None:
    """Raise Unsuitable, with the fix, if Towpath cannot be installed in this apiserver.

    With ``issues_tokens`` the user also needs the right to do that. Raises Unreachable without an answer.
    """
    try:
        version = str((await client.json("GET", "/version")).get("gitVersion", ""))
        try:
            bindings = await client.get(resources.CRDS, BINDINGS)
        except NotFound:
            bindings = None
        allowed = not issues_tokens or await _may_issue_tokens(client)
    except ApiError as error:
        raise refusal(error) from error
    problem = kubernetes_problem(version) or karmada_problem(bindings) or ("" if allowed else _NO_TOKENS)
    if problem:
        raise Unsuitable(f"{client.where}: {problem} Nothing was changed.")


async def _may_issue_tokens(client: Client) -> bool:
    attributes = {
        "verb": "create",
        "resource": "serviceaccounts",
        "subresource": "token",
        "namespace": resources.SYSTEM_NAMESPACE,
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    review = await client.json("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
    return bool(review["status"]["allowed"])


def kubernetes_problem(version: str) -> str:
    """Return why an apiserver is too old, and the fix; empty if it is not."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    if found is not None and tuple(map(int, found.groups())) >= OLDEST_KUBERNETES:
        return ""
    oldest = ".".join(map(str, OLDEST_KUBERNETES))
    text = f"Kubernetes {version or 'of unknown version'} has no admission policies."
    return f"{text} Use a Karmada apiserver of {oldest} or newer."


def karmada_problem(bindings: Mapping[str, Any] | None) -> str:
    """Return why a Karmada does not fit, by its CRD of bindings, and the fix; empty if it fits."""
    if bindings is None:
        return (
            f"The apiserver is not that of a Karmada: It has no {BINDINGS}. Use the kubeconfig of the "
            "Karmada apiserver, not that of its host cluster or of a member."
        )
    if any(_has(version, _SUSPENSION) for version in bindings["spec"]["versions"]):
        return ""
    field = ".".join(_SUSPENSION)
    return f"Karmada is too old: {BINDINGS} has no {field}. Use Karmada {OLDEST_KARMADA} or newer."


def _has(version: Object, path: tuple[str, ...]) -> bool:
    """Tell whether the schema of a version of a CRD has a field."""
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    return bool(reduce(lambda at, name: (at.get("properties") or {}).get(name) or {}, path, schema))


def refusal(error: ApiError) -> Exception:
    """Return an error from before the first change, with its fix."""
    if isinstance(error, Unreachable):
        return type(error)(
            f"{error}. Check the server of the kubeconfig, and whether it is reached from here."
        )
    if error.status in {UNAUTHORIZED, FORBIDDEN}:
        return Unsuitable(
            f"{str(error).rstrip('.')}. Use the kubeconfig of an administrator of the Karmada apiserver. "
            "Nothing was changed."
        )
    return error
