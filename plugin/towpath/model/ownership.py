"""What marks an object as Towpath's: its label, its field manager, its annotations, its name.

Each of these facts stands here alone. The controller writes them, ``plan`` and the webhook recognize objects
by them, ``install`` and ``uninstall`` select by them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from towpath.model.keys import Dialect, ServiceKey

MANAGED_BY_LABEL, TOWPATH = "app.kubernetes.io/managed-by", "towpath"
MANAGED_BY = {MANAGED_BY_LABEL: TOWPATH}
"""The labels of every object that Towpath creates."""
OWN_OBJECTS = f"{MANAGED_BY_LABEL}={TOWPATH}"
"""Selects them."""
OTHER_OBJECTS = f"{MANAGED_BY_LABEL}!={TOWPATH}"
"""Selects all others."""
FIELD_MANAGER = "towpath"
"""The field manager with which the controller applies."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""The annotation in which ``kubectl apply`` stores the manifest that a user applied."""
VIEW_ANNOTATION = "towpath.io/view"
"""Holds the digest of the view that a ServiceImport gives to its cluster."""
EXPORTERS_ANNOTATION, PORTS_ANNOTATION = "towpath.io/exporters", "towpath.io/ports"
"""Hold the names of the clusters that a ServiceImport leads to, and its ports, for the columns of kubectl: an
apiserver prints only the first match of a JSON path."""
IMPORT_ANNOTATIONS = (VIEW_ANNOTATION, EXPORTERS_ANNOTATION, PORTS_ANNOTATION)
"""The annotations of a derived ServiceImport."""
IMPORT_PREFIX, EXPORT_PREFIX, TRAFFIC_PREFIX = "towpath-import-", "towpath-export-", "towpath-traffic-"
SERVICE_PREFIX = "towpath-service-"
ROUTE_PREFIXES = {"HTTPRoute": "towpath-httproute-", "Ingress": "towpath-ingress-"}
"""How names of routes begin, and of the policies that carry them, by the kind of the route."""
PREFIXES = (IMPORT_PREFIX, EXPORT_PREFIX, TRAFFIC_PREFIX, SERVICE_PREFIX, *ROUTE_PREFIXES.values())
"""How names of derived policies begin: those that carry imports, those by which exports and traffic policies
follow, those that change Services which imports bring along, and those of routes. The name of the service is
next.
"""
_GROUPS = frozenset(Dialect)
_SELECTED = {
    ("v1", "Service"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("networking.k8s.io/v1", "Ingress"),
}
"""What derived policies select besides objects of these API groups."""


def is_own(obj: Mapping[str, Any]) -> bool:
    """Tell whether an object has Towpath's label."""
    labels = obj["metadata"].get("labels")
    return isinstance(labels, Mapping) and labels.get(MANAGED_BY_LABEL) == TOWPATH


def is_marked(obj: Mapping[str, Any]) -> bool:
    """Tell whether an import, a route or a policy has the label, the name and the owner of a derived one.

    The label alone proves nothing, since any user can set it. Without owners an object is what an export has
    left that was deleted without its dependents.
    """
    source = _source(obj["kind"], obj["metadata"]["name"])
    return is_own(obj) and source is not None and all(_named(owner) == source for owner in _owners(obj))


def is_derived(obj: Mapping[str, Any]) -> bool:
    """Tell whether a policy is marked and selects nothing but what a derived policy of its name does.

    Another policy is a user's, whatever its marks: it decides about objects that Towpath reads.
    """
    source = _source(obj["kind"], obj["metadata"]["name"])
    if source is None or not is_marked(obj) or not _is_writable(obj):
        return False
    spec = obj.get("spec")
    selectors = _references(spec.get("resourceSelectors") if isinstance(spec, Mapping) else None)
    selected = _selected(obj["metadata"]["name"], *source)
    return bool(selectors) and all(_named(selector) == selected for selector in selectors)


def _selected(policy: str, source: str, service: str) -> tuple[str, str]:
    """Return kind and name of the one object that a derived policy of this name selects."""
    if policy.startswith(IMPORT_PREFIX):
        return "ServiceImport", service
    routes = ((kind, policy) for kind, prefix in ROUTE_PREFIXES.items() if policy.startswith(prefix))
    return next(routes, (source, service))


def is_ours(policy: Mapping[str, Any], sources: Collection[str]) -> bool:
    """Tell whether a policy with Towpath's label may be changed and deleted.

    ``sources`` are the uids of what is there to derive it from. By such an owner it is Towpath's whatever
    else was changed in it. Without one it is what a former export has left, unless it selects more.
    """
    is_of_source = is_marked(policy) and _is_writable(policy) and belongs_to(policy, sources)
    return is_of_source or is_derived(policy)


def _is_writable(policy: Mapping[str, Any]) -> bool:
    """Tell whether an apply makes a policy what it should be.

    It leaves the deprecated ``spec.overriders`` there, which Karmada carries out, and with which the
    apiserver refuses every change by the plugin.
    """
    spec = policy.get("spec")
    return not isinstance(spec, Mapping) or not spec.get("overriders")


def belongs_to(obj: Mapping[str, Any], uids: Collection[str]) -> bool:
    """Tell whether an object of one of these uids owns a derived object."""
    owners = (owner.get("uid") for owner in _owners(obj) if isinstance(owner, Mapping))
    return any(isinstance(uid, str) and uid in uids for uid in owners)


def _owners(obj: Mapping[str, Any]) -> Sequence[object]:
    return _references(obj["metadata"].get("ownerReferences"))


def _source(kind: str, name: str) -> tuple[str, str] | None:
    """Return kind and name of what a derived object of this name is made of, None for another name."""
    if kind == "ServiceImport":
        return "ServiceExport", name
    service = imported_service(name) or routed_service(name)
    if service is not None:
        return "ServiceExport", service
    if kind == "OverridePolicy" and name.startswith(SERVICE_PREFIX):
        return "Service", name.removeprefix(SERVICE_PREFIX)
    for prefix, owner in ((EXPORT_PREFIX, "ServiceExport"), (TRAFFIC_PREFIX, "GlobalTrafficPolicy")):
        if kind == "PropagationPolicy" and name.startswith(prefix):
            return owner, name.removeprefix(prefix)
    return None


def _references(field: object) -> Sequence[object]:
    """Return the items of a list. An object may be anything that its CRD allows."""
    return field if isinstance(field, list | tuple) else ()


def _named(reference: object) -> tuple[object, object]:
    """Return kind and name of a Service or an object of Towpath's API groups; nothing for others."""
    if not isinstance(reference, Mapping):
        return None, None
    version, kind = str(reference.get("apiVersion")), str(reference.get("kind"))
    if (version, kind) not in _SELECTED and version.partition("/")[0] not in _GROUPS:
        return None, None
    return kind, reference.get("name")


def import_policy_name(key: ServiceKey, shard: int = 0) -> str:
    """Return the name of a service's policies; those after the first are numbered, behind a dot."""
    return f"{IMPORT_PREFIX}{key.name}.{shard}" if shard else f"{IMPORT_PREFIX}{key.name}"


def service_policy_name(key: ServiceKey) -> str:
    """Return the name of the policy that changes a Service where an import has brought it."""
    return f"{SERVICE_PREFIX}{key.name}"


def route_name(kind: str, service: str) -> str:
    """Return the name of a service's route of a kind, and of the policies that carry it."""
    return f"{ROUTE_PREFIXES[kind]}{service}"


def routed_service(name: str) -> str | None:
    """Return the service whose route, or policy of a route, has this name, None for any other name."""
    prefixes = (prefix for prefix in ROUTE_PREFIXES.values() if name.startswith(prefix))
    return next((name.removeprefix(prefix) for prefix in prefixes), None)


def imported_service(policy_name: str) -> str | None:
    """Return the service whose imports a derived policy carries, None for any other policy."""
    if not policy_name.startswith(IMPORT_PREFIX):
        return None
    return policy_name.removeprefix(IMPORT_PREFIX).partition(".")[0]


def followed_service(policy_name: str) -> str | None:
    """Return the service whose export, traffic policy or Service a derived policy concerns, else None."""
    for prefix in (EXPORT_PREFIX, TRAFFIC_PREFIX, SERVICE_PREFIX):
        if policy_name.startswith(prefix):
            return policy_name.removeprefix(prefix)
    return routed_service(policy_name)
