"""An apiserver with a fleet on it that exists nowhere else: what ``memory`` measures the plugin against.

    python -m tests.bench.synthetic --port 0 --clusters 100 --services 10000 --exports 1000 --exporters 10

Each Service is bound to every cluster, and so is a Deployment of the same name, whose binding is of no
interest; every so many-th Service is exported, to so many of the clusters. Lists come in pages, watches send
what happens after a resourceVersion, and what is applied is stored with its fields' owner and sent to the
watchers, as an apiserver does it. In Karmada's place a ServiceImport that is applied gets a binding at once
in which every cluster reports the view that template and overrides give it.

The fleet's objects are as large as real ones (a binding to 100 clusters has 16 KB) and are made when they are
sent. The port is printed when it listens. ``POST /churn?events=N`` reports N bindings anew, then changes what
one export is offered from (``export=NUMBER``, the first by default), and answers when that has been written,
with the seconds that it took, or at once with ``unawaited``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from towpath.karmada import resources
from towpath.karmada.client import Resource
from towpath.karmada.installation import INSTALLATION, NAMESPACE
from towpath.model.keys import Dialect
from towpath.model.ownership import VIEW_ANNOTATION

DIALECT = Dialect.MULTICLUSTER
NAMESPACES = 50
SHAPES = 200
"""So many different Services there are, but for name and address."""
CREATED = "2026-01-01T00:00:00Z"
_NO_SUCH = web.HTTPNotFound

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name."""
Made = Callable[[int], bytes]
"""An object's JSON at a resourceVersion."""


@dataclass
class Kind:
    """The objects of one kind, and everything that has happened to them."""

    objects: dict[Key, tuple[int, Made]] = field(default_factory=dict)
    log: list[tuple[int, str, Made]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def happen(self, event: str, version: int, made: Made) -> None:
        self.log.append((version, event, made))
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass(frozen=True)
class Size:
    """How large the fleet is."""

    clusters: int
    services: int
    exports: int
    exporters: int


def _meta(namespace: str, name: str, version: int, uid: str, **more: Any) -> Object:
    own = {"name": name, "resourceVersion": str(version), "uid": uid, "creationTimestamp": CREATED}
    return {**own, **({"namespace": namespace} if namespace else {}), "generation": 1, **more}


def _uid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def _managed(manager: str, fields: Mapping[str, Any], **more: str) -> list[Object]:
    return [{"manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields, **more}]


def _owned(value: Mapping[str, Any]) -> Object:
    """Return the field set of an applied value."""
    return {f"f:{k}": _owned(v) if isinstance(v, dict) else {} for k, v in value.items()}


def _claimed(namespace: str, name: str) -> dict[str, str]:
    """Return the annotations of a template that the user's policy of its name has claimed."""
    return {
        "propagationpolicy.karmada.io/namespace": namespace,
        "propagationpolicy.karmada.io/name": name,
    }


class Bound:
    """The larger part of a binding's JSON: the clusters that it is bound to, with what each reports."""

    def __init__(self, reports: Mapping[str, Object]) -> None:
        copies = [
            {"applied": True, "clusterName": c, "health": "Healthy", **({"status": s} if s else {})}
            for c, s in reports.items()
        ]
        happened = {"status": "True", "reason": "Success", "message": "", "lastTransitionTime": CREATED}
        spec = {
            "clusters": [{"name": c} for c in reports],
            "placement": {"clusterAffinity": {"clusterNames": list(reports)}},
            "schedulerName": "default-scheduler",
        }
        status = {
            "aggregatedStatus": copies,
            "conditions": [{"type": condition, **happened} for condition in ("Scheduled", "FullyApplied")],
        }
        self.rest = b'%b,"status":%b}' % (_json(spec)[1:], _json(status))


class Fleet:
    """Makes the fleet's objects."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.clusters = [f"member-{number:03}" for number in range(size.clusters)]
        every = size.services // size.exports
        self.services = [(f"team-{n % NAMESPACES}", f"service-{n:05}") for n in range(size.services)]
        self.exports = self.services[::every][: size.exports]

    def offered(self, number: int) -> list[str]:
        """Return the clusters that export so many-th export."""
        step = max(1, self.size.clusters // self.size.exporters - 1)
        return sorted(
            {self.clusters[(number * 7 + n * step) % self.size.clusters] for n in range(self.size.exporters)}
        )

    def cluster(self, number: int) -> Made:
        name = self.clusters[number]
        apis = [
            {
                "groupVersion": f"group{n}.example.io/v1",
                "resources": [{"kind": f"Kind{k}", "name": f"kind{k}s"} for k in range(8)],
            }
            for n in range(40)
        ]
        kinds = [
            {"kind": "ServiceImport", "name": "serviceimports"},
            {"kind": "ServiceExport", "name": "serviceexports"},
        ]
        apis.append({"groupVersion": DIALECT.api_version, "resources": kinds})
        annotations = {"towpath.io/gateway": f"10.{number // 250}.{number % 250}.1:80"}
        status = {
            "apiEnablements": apis,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": CREATED}],
        }

        def made(version: int) -> bytes:
            meta = _meta("", name, version, _uid(name), annotations=annotations)
            return _json({"metadata": meta, "spec": {"syncMode": "Push"}, "status": status})

        return made

    def service(self, number: int) -> Made:
        namespace, name = self.services[number]
        shape = number % SHAPES
        ports = [
            {"name": "http", "port": 8080, "protocol": "TCP", "targetPort": 8000 + shape},
            {"name": f"metrics-{shape % 7}", "port": 9100 + shape % 10, "protocol": "TCP", "targetPort": "m"},
        ]
        spec = {
            "clusterIP": f"10.96.{number // 250}.{number % 250}",
            "clusterIPs": [f"10.96.{number // 250}.{number % 250}"],
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": ports,
            "selector": {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": namespace},
            "sessionAffinity": "None",
            "type": "ClusterIP",
        }
        labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": namespace}
        annotations = {
            "kubectl.kubernetes.io/last-applied-configuration": json.dumps(spec),
            **_claimed(namespace, name),
        }

        def made(version: int) -> bytes:
            managed = _managed("kubectl", {"f:spec": _owned(spec)})
            meta = _meta(
                namespace,
                name,
                version,
                _uid(name),
                labels=labels,
                annotations=annotations,
                managedFields=managed,
            )
            return _json({"metadata": meta, "spec": spec, "status": {"loadBalancer": {}}})

        return made

    def export(self, number: int) -> Made:
        namespace, name = self.exports[number]
        rules = [{"portNumber": 8080, "path": f"/{namespace}/{name}", "pathType": "Prefix"}]

        def made(version: int) -> bytes:
            claim = _claimed(namespace, name)
            meta = _meta(namespace, name, version, _uid(f"export-{name}"), annotations=claim)
            return _json({"metadata": meta, "spec": {"rules": rules, "serviceAccountName": "*"}})

        return made

    def policy(self, number: int) -> Made:
        """Return the user's policy that has claimed an export and its Service."""
        namespace, name = self.exports[number]
        selectors = [
            {"apiVersion": api, "kind": kind, "name": name}
            for api, kind in ((DIALECT.api_version, "ServiceExport"), ("v1", "Service"))
        ]

        def made(version: int) -> bytes:
            meta = _meta(namespace, name, version, _uid(f"policy-{name}"))
            body = {"apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy", "metadata": meta}
            return _json({**body, "spec": {"resourceSelectors": selectors, "placement": {}}})

        return made

    def binding(self, key: Key, api_version: str, kind: str, uid: str, bound: Bound) -> Made:
        namespace, name = key
        resource = {"apiVersion": api_version, "kind": kind, "namespace": namespace, "name": name, "uid": uid}
        own = f"{name}-{kind.lower()}"

        def made(version: int) -> bytes:
            meta = _json(_meta(namespace, own, version, _uid(own)))
            return b'{"metadata":%b,"spec":{"resource":%b,%b' % (meta, _json(resource), bound.rest)

        return made

    def bindings(self) -> Iterator[tuple[Key, Made]]:
        """Yield every binding: of each Service, of a Deployment beside it, and of the exports."""
        everywhere = Bound({c: {"loadBalancer": {}} for c in self.clusters})
        running = Bound({c: {"availableReplicas": 2, "readyReplicas": 2} for c in self.clusters})
        for namespace, name in self.services:
            for api, kind, bound in (("v1", "Service", everywhere), ("apps/v1", "Deployment", running)):
                made = self.binding((namespace, name), api, kind, _uid(name), bound)
                yield (namespace, f"{name}-{kind.lower()}"), made
        for number, (namespace, name) in enumerate(self.exports):
            yield (namespace, f"{name}-serviceexport"), self.export_binding(number, self.offered(number))

    def export_binding(self, number: int, clusters: list[str]) -> Made:
        key = self.exports[number]
        bound = Bound({cluster: {} for cluster in clusters})
        return self.binding(key, DIALECT.api_version, "ServiceExport", _uid(f"export-{key[1]}"), bound)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


CLUSTERS = "/apis/cluster.karmada.io/v1alpha1/clusters"
CONFIG_MAPS = "/api/v1/configmaps"
SERVICES = "/api/v1/services"
BINDINGS = "/apis/work.karmada.io/v1alpha2/resourcebindings"
_USERS = "#users"
"""Suffix of a kind: objects without Towpath's label, which are kept apart."""
POLICY = "/apis/policy.karmada.io/v1alpha1/"
EXPORTS = f"/apis/{DIALECT.api_version}/serviceexports"
IMPORTS = f"/apis/{DIALECT.api_version}/serviceimports"


class Apiserver:
    """Lists, watches and writes, over a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.version = 0
        self.kinds: defaultdict[str, Kind] = defaultdict(Kind)
        self.writes: defaultdict[str, int] = defaultdict(int)
        self._written: dict[Key, asyncio.Event] = {}
        marker = (NAMESPACE, INSTALLATION)
        self._put(CONFIG_MAPS, marker, lambda version: _json({"metadata": _meta(*marker, version, "marker")}))
        for number in range(fleet.size.clusters):
            self._put(CLUSTERS, ("", fleet.clusters[number]), fleet.cluster(number))
        for number, key in enumerate(fleet.services):
            self._put(SERVICES, key, fleet.service(number))
        for number, key in enumerate(fleet.exports):
            self._put(EXPORTS, key, fleet.export(number))
            self._put(f"{POLICY}propagationpolicies{_USERS}", key, fleet.policy(number))
        for key, made in fleet.bindings():
            self._put(BINDINGS, key, made)

    def _put(self, kind: str, key: Key, made: Made) -> None:
        self.version += 1
        version, there = self.version, key in self.kinds[kind].objects
        self.kinds[kind].objects[key] = (version, made)
        self.kinds[kind].happen("MODIFIED" if there else "ADDED", version, made)

    def get(self, kind: str, key: Key) -> Object | None:
        known = self.kinds[kind].objects.get(key)
        return json.loads(known[1](known[0])) if known else None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer whatever a client of an apiserver asks."""
        if re.fullmatch(r"/api/[^/]+|/apis/[^/]+/[^/]+", request.path):
            return _discovered(request.path)
        kind, key, subresource = _where(request.path)
        if "!=" in request.query.get("labelSelector", ""):
            kind += _USERS
        if request.method == "GET" and "watch" in request.query:
            return await self._watch(request, self.kinds[kind], int(request.query["resourceVersion"]))
        if request.method == "GET" and key is None:
            return self._list(self.kinds[kind], request.query)
        if key is None:
            return web.Response(body=await request.read(), content_type="application/json", status=201)
        if request.method == "GET":
            found = self.get(kind, key)
            return web.json_response(found) if found else web.json_response({"message": "no"}, status=404)
        self.writes[f"{request.method} {kind.rpartition('/')[2]} {subresource}".strip()] += 1
        if request.method == "DELETE":
            return self._delete(kind, key)
        return self._apply(kind, key, subresource, json.loads(await request.read()), request)

    def _list(self, kind: Kind, query: Mapping[str, str]) -> web.Response:
        keys, first = list(kind.objects), int(query.get("continue", "0"))
        limit = int(query.get("limit", len(keys) + 1))
        page = [made(version) for version, made in map(kind.objects.get, keys[first : first + limit])]  # type: ignore[misc]
        more = {"continue": str(first + limit)} if first + limit < len(keys) else {}
        meta = _json({"resourceVersion": str(self.version), **more})
        body = b'{"metadata":' + meta + b',"items":[' + b",".join(page) + b"]}"
        return web.Response(body=body, content_type="application/json")

    async def _watch(self, request: web.Request, kind: Kind, since: int) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):
            await self._follow(response, kind, since)
        return response

    async def _follow(self, response: web.StreamResponse, kind: Kind, since: int) -> None:
        """Send what has happened and what happens, until the watcher goes."""
        place = next((n for n, entry in enumerate(kind.log) if entry[0] > since), len(kind.log))
        while True:
            changed = kind.changed
            while place < len(kind.log):
                version, event, made = kind.log[place]
                place += 1
                line = b'{"type":"' + event.encode() + b'","object":' + made(version) + b"}\n"
                await response.write(line)
            await changed.wait()

    def _delete(self, kind: str, key: Key) -> web.Response:
        known = self.kinds[kind].objects.pop(key, None)
        if known is None:
            return web.json_response({"message": "no"}, status=404)
        self.version += 1
        self.kinds[kind].happen("DELETED", self.version, known[1])
        return web.json_response({"kind": "Status"})

    def _apply(
        self, kind: str, key: Key, subresource: str, body: Object, request: web.Request
    ) -> web.Response:
        before = self.get(kind, key) or {}
        manager = request.query.get("fieldManager", "")
        given = body.get("metadata", {})
        if subresource or "merge-patch" in request.content_type:
            obj = {**before, **{k: v for k, v in body.items() if k == subresource}}
            obj["metadata"] = {**before["metadata"]}
            obj["metadata"]["annotations"] = {
                **before["metadata"].get("annotations", {}),
                **given.get("annotations", {}),
            }
        else:
            fields = {
                "f:metadata": _owned({k: v for k, v in given.items() if k in {"labels", "annotations"}})
            }
            fields["f:spec"] = _owned(body.get("spec", {}))
            obj = {**before, **body}
            obj["metadata"] = {
                **_meta(*key, 0, _uid(f"{kind.rpartition('/')[2]}-{key[1]}")),
                **given,
                "managedFields": _managed(manager, fields),
            }

        text = _json({k: v for k, v in obj.items() if k != "metadata"})[1:]

        def made(version: int) -> bytes:
            meta = {**obj["metadata"], "resourceVersion": str(version)}
            return b'{"metadata":' + _json(meta) + b"," + text

        self._put(kind, key, made)
        answer = made(self.version)
        if kind == IMPORTS and not subresource:
            self._carry(key, obj)
        if kind.startswith(POLICY) and key in self._written:
            self._written[key].set()
        return web.Response(body=answer, content_type="application/json")

    def _carry(self, key: Key, template: Object) -> None:
        """Bind an import to its clusters and let them report it, as Karmada does."""
        namespace, name = key
        views = {}
        policy = self.get(f"{POLICY}propagationpolicies", (namespace, f"towpath-import-{name}"))
        everyone = policy["spec"]["placement"]["clusterAffinity"]["clusterNames"] if policy else []
        views.update(dict.fromkeys(everyone, template["metadata"]["annotations"][VIEW_ANNOTATION]))
        for number in range(32):
            shard = f"towpath-import-{name}.{number}" if number else f"towpath-import-{name}"
            policy = self.get(f"{POLICY}overridepolicies", (namespace, shard))
            for rule in policy["spec"]["overrideRules"] if policy else ():
                for cluster in rule["targetCluster"]["clusterNames"]:
                    views[cluster] = rule["overriders"]["plaintext"][1]["value"]
        reports = {cluster: {"view": view} for cluster, view in views.items() if cluster in everyone}
        uid = template["metadata"]["uid"]
        made = self.fleet.binding(key, DIALECT.api_version, "ServiceImport", uid, Bound(reports))
        self._put(BINDINGS, (namespace, f"{name}-serviceimport"), made)

    async def churn(self, request: web.Request) -> web.Response:
        """Report bindings anew, then take a cluster from an export and wait until the plugin has followed."""
        events, kind = int(request.query["events"]), self.kinds[BINDINGS]
        fleet, keys = self.fleet, list(kind.objects)
        began = time.perf_counter()
        for event in range(events):
            key = keys[event % len(keys)]
            self._put(BINDINGS, key, kind.objects[key][1])
        number = int(request.query.get("export", "0"))
        namespace, name = fleet.exports[number]
        written = self._written[namespace, f"towpath-import-{name}"] = asyncio.Event()
        fewer = fleet.offered(number)[int(request.query["without"]) :]
        self._put(BINDINGS, (namespace, f"{name}-serviceexport"), fleet.export_binding(number, fewer))
        if "unawaited" not in request.query:
            await written.wait()
        return web.json_response({"seconds": time.perf_counter() - began})

    async def state(self, _: web.Request) -> web.Response:
        """Return the writes so far."""
        done = sum(
            any(c["type"] == "Ready" and c["status"] == "True" for c in obj["status"].get("conditions", ()))
            for version, made in self.kinds[EXPORTS].objects.values()
            if "status" in (obj := json.loads(made(version)))
        )
        return web.json_response({"ready": done, "writes": self.writes})


def _discovered(path: str) -> web.Response:
    """Answer which kinds a group has: those that Towpath reads of a Karmada apiserver."""
    version = path.removeprefix("/apis/").removeprefix("/api/")
    per_dialect = (resources.flomesh_clusters, resources.service_exports, resources.service_imports)
    kinds = [known for known in vars(resources).values() if isinstance(known, Resource)]
    kinds += [kind(dialect) for kind in (*per_dialect, resources.traffic_policies) for dialect in Dialect]
    served = [
        {"name": kind.plural, "kind": kind.kind, "namespaced": kind.namespaced}
        for kind in kinds
        if kind.api_version == version
    ]
    return web.json_response({"resources": served}, status=200 if served else 404)


def _where(path: str) -> tuple[str, Key | None, str]:
    """Return the collection of all namespaces, the object's key if it names one, and the subresource."""
    parts = path.strip("/").split("/")
    prefix, rest = (parts[:2], parts[2:]) if parts[0] == "api" else (parts[:3], parts[3:])
    namespace = rest[1] if rest[0] == "namespaces" and len(rest) > 2 else ""
    rest = rest[2:] if namespace else rest
    kind = "/" + "/".join([*prefix, rest[0]])
    key = (namespace, rest[1]) if len(rest) > 1 else None
    return kind, key, rest[2] if len(rest) > 2 else ""


async def _serve(port: int, size: Size) -> None:
    apiserver = Apiserver(Fleet(size))
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/churn", apiserver.churn)
    app.router.add_get("/state", apiserver.state)
    app.router.add_get("/version", lambda _: _version())
    app.router.add_route("*", "/{path:.*}", apiserver.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def _version() -> web.Response:
    return web.json_response({"major": "1", "minor": "35"})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.synthetic", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--port", type=int, default=0)
    for name in ("clusters", "services", "exports", "exporters"):
        parser.add_argument(f"--{name}", type=int, required=True)
    given = parser.parse_args()
    asyncio.run(_serve(given.port, Size(given.clusters, given.services, given.exports, given.exporters)))


if __name__ == "__main__":
    main()
