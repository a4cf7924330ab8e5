"""The contract over a real unix socket: what is answered, what is refused, and whose socket it is."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest
from aiohttp import web
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from tests.support.certificates import HOSTS, authority, identity
from tests.support.cli import towpath
from tests.support.plugins import server
from tests.support.standin import answered_by
from tests.support.waiting import until
from tests.support.worlds import UID, WEB, export, fleet, member, service
from towpath.derivation.index import Incremental
from towpath.errors import NotFound, SocketUnusable, Unreachable, UsageError
from towpath.karmada.client import Client
from towpath.model.cluster import Member
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.service import ServicePort
from towpath.model.world import ExportedService, Offer
from towpath.plugin import serve
from towpath.proto.v1alpha1 import service_pb2 as pb
from towpath.rpc import client, socketfile
from towpath.rpc.credentials import Files
from towpath.rpc.errors import NOT_IN_SYNC
from towpath.rpc.server import SERVICES, Port
from towpath.traffic.prometheus import Target

WEB_KEY = ServiceKey(Dialect.FLOMESH, "shop", "web")
NEW_KEY = ServiceKey(Dialect.MULTICLUSTER, "shop", "cart")
pytestmark = pytest.mark.timeout(30)


def world(
    members: Mapping[str, Member], services: Mapping[ServiceKey, Mapping[str, Offer]] | None = None
) -> Incremental:
    world = Incremental()
    world.put_members(members)
    for key, offers in (services or {}).items():
        world.put_service(key, ExportedService(key, UID, offers))
    return world


NAMED = Offer(export((80, "web")), service(ServicePort(port=80, name="http", app_protocol="grpc")))
WORLD = world(
    members={**fleet("a"), "b": member("b", "10.9.9.9", gateway_port=8080, region="r1"), **fleet("c", "d")},
    services={
        WEB_KEY: {"a": NAMED, "b": NAMED, "c": Offer(WEB.export, None), "gone": WEB},
        NEW_KEY: {"a": WEB},
    },
)


@asynccontextmanager
async def serving(path: Path, world: Incremental = WORLD) -> AsyncIterator[str]:
    """Serve a world; give the address."""
    async with server(world, path) as made:
        made.in_sync()
        yield f"unix:{path}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plugin.sock"


@pytest.fixture
async def address(path: Path) -> AsyncIterator[str]:
    async with serving(path) as address:
        yield address


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def health(address: str, name: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        return (await check(HealthCheckRequest(service=name), timeout=5)).status


async def test_a_service_is_explained(address: str) -> None:
    answer = await client.explain(address, "shop", "web")

    assert (answer.namespace, answer.name, answer.dialect) == ("shop", "web", "flomesh.io")
    assert [(e.cluster, e.cluster_key) for e in answer.exporters] == [
        ("a", "default/default/default/a"),
        ("b", "r1/default/default/b"),
    ]
    assert [(e.cluster, e.reason) for e in answer.excluded] == [
        ("c", "ServiceNotBound"),
        ("gone", "NotAMember"),
    ]
    assert "PropagationPolicy" in answer.excluded[0].text
    assert [importer.cluster for importer in answer.importers] == ["a", "b", "c", "d"]
    assert answer.importers[0] == pb.Importer(
        cluster="a",
        cluster_key="default/default/default/a",
        ports=[
            pb.Port(
                port=80,
                protocol="TCP",
                name="http",
                app_protocol="grpc",
                endpoints=[
                    pb.Endpoint(
                        cluster_key="r1/default/default/b",
                        host="10.9.9.9",
                        ip="10.9.9.9",
                        port=8080,
                        path="/web",
                    )
                ],
            )
        ],
        state="Unknown",
        reason="NotReported",
        text=answer.importers[0].text,
    )


@pytest.mark.parametrize("dialect", ["", "multicluster.flomesh.io"])
async def test_the_dialect_need_not_be_known(address: str, dialect: str) -> None:
    answer = await client.explain(address, "shop", "cart", dialect)
    assert answer.dialect == "multicluster.flomesh.io"


async def test_a_service_without_exporters_is_explained_too(path: Path) -> None:
    async with serving(path, world({}, {WEB_KEY: {}})) as address:
        answer = await client.explain(address, "shop", "web")
    assert not answer.exporters
    assert not answer.importers


async def test_members_are_listed_as_towpath_sees_them(path: Path) -> None:
    seen = {"z": member("z"), "b": Member(name="b", group="g", imports=frozenset())}
    async with serving(path, world(seen)) as address:
        answer = await client.list_clusters(address)

    assert list(answer.clusters) == [
        pb.Cluster(name="b", cluster_key="default/default/g/b", gateway_port=80, state="Ready"),
        pb.Cluster(
            name="z",
            cluster_key="default/default/default/z",
            gateway_host="10.0.0.122",
            gateway_port=80,
            dialects=["flomesh.io", "multicluster.flomesh.io"],
            state="Ready",
            gateway_source="annotation",
            gateway_ip="10.0.0.122",
        ),
    ]


@pytest.mark.parametrize(
    ("name", "dialect", "message"),
    [
        ("webb", "", "ServiceExport shop/webb does not exist. Did you mean shop/web?"),
        (
            "payments",
            "",
            "ServiceExport shop/payments does not exist. Karmada has 2 ServiceExports of other names.",
        ),
        (
            "web",
            "multicluster.flomesh.io",
            "ServiceExport shop/web of multicluster.flomesh.io does not exist. Use the one of flomesh.io.",
        ),
    ],
)
async def test_a_missing_service_is_not_found(address: str, name: str, dialect: str, message: str) -> None:
    with pytest.raises(NotFound) as caught:
        await client.explain(address, "shop", name, dialect)
    assert str(caught.value) == message


async def test_of_two_dialects_the_one_that_counts_is_explained(path: Path) -> None:
    young = ServiceKey(Dialect.MULTICLUSTER, "shop", "web")
    async with serving(path, world(fleet("a", "b"), {WEB_KEY: {"a": WEB}, young: {}})) as address:
        assert (await client.explain(address, "shop", "web")).dialect == "flomesh.io"
        loser = await client.explain(address, "shop", "web", young.dialect)
    assert loser.conditions[0].reason == "NameTaken"
    assert not loser.importers


async def test_nothing_exported_at_all_is_reported(path: Path) -> None:
    async with serving(path, world({})) as address:
        with pytest.raises(NotFound, match="Karmada has 0 ServiceExports of other names"):
            await client.explain(address, "shop", "web")
        assert not (await client.list_clusters(address)).clusters


async def test_a_wrong_namespace_is_guessed(address: str) -> None:
    with pytest.raises(NotFound, match=r"Did you mean shop/cart\?"):
        await client.explain(address, "default", "cart")


@pytest.mark.parametrize(
    ("namespace", "name", "dialect", "message"),
    [
        ("", "web", "", "namespace: The field is required. Set it."),
        ("shop", "", "", "name: The field is required. Set it."),
        (
            "shop",
            "web",
            "x.io",
            r"dialect: 'x.io' is not a dialect. Use flomesh.io or multicluster.flomesh.io.",
        ),
    ],
)
async def test_a_question_without_meaning_is_refused(
    address: str, namespace: str, name: str, dialect: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        await client.explain(address, namespace, name, dialect)


async def test_an_answer_may_be_large(path: Path) -> None:
    names = [f"m{number}" for number in range(40)]
    offer = Offer(export((80, "x" * 4096)), service(80))
    async with serving(path, world(fleet(*names), {WEB_KEY: dict.fromkeys(names, offer)})) as address:
        answer = await client.explain(address, "shop", "web")
    assert answer.ByteSize() > 4 * 2**20, "below gRPC's own limit, this shows nothing"
    assert len(answer.importers) == len(names)


async def test_nothing_is_answered_before_the_world_is_known(path: Path) -> None:
    address = f"unix:{path}"
    async with server(WORLD, path) as made:
        for name in ("", *SERVICES):
            assert await health(address, name) == HealthCheckResponse.NOT_SERVING
        assert not await client.is_serving(address)
        for call in (client.list_clusters(address), client.explain(address, "shop", "web")):
            with pytest.raises(Unreachable, match=NOT_IN_SYNC):
                await call

        made.in_sync()

        for name in ("", *SERVICES):
            assert await health(address, name) == HealthCheckResponse.SERVING
        assert await client.is_serving(address)
        assert (await client.explain(address, "shop", "web")).exporters


async def test_health_watchers_are_notified_that_the_plugin_stops(path: Path) -> None:
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        async with serving(path):
            states = aiter(watch(HealthCheckRequest(service=SERVICES[0]), timeout=10))
            assert (await anext(states)).status == HealthCheckResponse.SERVING
        assert (await anext(states)).status == HealthCheckResponse.NOT_SERVING
        with pytest.raises(StopAsyncIteration):
            await anext(states)


async def test_an_unknown_service_has_no_health(address: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="Service 'x' does not exist"):
        await health(address, "x")


async def test_the_socket_is_for_one_user_and_goes_with_the_server(path: Path) -> None:
    async with serving(path) as address:
        found = path.stat()
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o600
        assert names(path.parent) == [path.name]
    assert names(path.parent) == []
    assert not await client.is_serving(address)
    with pytest.raises(Unreachable, match=f"No plugin serves {address}: No such file"):
        await client.list_clusters(address)


async def test_a_server_starts_again_where_one_was(path: Path) -> None:
    for _ in range(2):
        async with serving(path) as address:
            assert await client.is_serving(address)


async def test_the_socket_of_a_dead_plugin_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(Unreachable, match=r"plugin\.sock: Connection refused"):
        await client.list_clusters(f"unix:{path}")
    async with serving(path) as address:
        assert await client.is_serving(address)


async def test_the_socket_of_a_live_plugin_is_left_alone(path: Path) -> None:
    async with serving(path) as address:
        with pytest.raises(SocketUnusable) as caught:
            await server(WORLD, path).__aenter__()
        assert str(caught.value) == (
            f"socket {path}: Another process serves it. Stop that process or give another path."
        )
        assert await client.is_serving(address)
        assert names(path.parent) == [path.name]


async def test_a_server_that_stops_leaves_its_successors_socket(path: Path, tmp_path: Path) -> None:
    async with serving(path):
        path.rename(tmp_path / "elsewhere")
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
    assert path.is_socket()


async def test_paths_where_there_can_be_no_socket(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep")
    long = tmp_path / ("x" * socketfile.MAX_PATH_BYTES)
    for path, message in (
        (precious, "A file that is not a socket exists"),
        (precious / "plugin.sock", "Not a directory"),
        (tmp_path / "missing" / "plugin.sock", "missing: No such file or directory"),
        (long, "The path exceeds 103 bytes"),
    ):
        with pytest.raises(SocketUnusable, match=message):
            await server(WORLD, path).__aenter__()
    assert precious.read_text() == "keep"
    assert names(tmp_path) == [precious.name]


async def test_a_path_taken_in_the_last_moment_is_left_alone(path: Path) -> None:
    def take() -> None:
        with socketfile.placed(path) as bound:
            bound.touch()
            path.mkdir()

    with pytest.raises(SocketUnusable, match="Is a directory"):
        take()
    assert names(path.parent) == [path.name]


async def test_a_silent_client_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "DEADLINE_SECONDS", 0.2)
    monkeypatch.setattr(client, "HEALTH_DEADLINE_SECONDS", 0.2)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(Unreachable, match=r"did not answer within 0\.2 s"):
            await client.list_clusters(f"unix:{path}")
        assert not await client.is_serving(f"unix:{path}")


@pytest.fixture
async def empty_karmada(tmp_path: Path) -> AsyncIterator[Client]:
    """An apiserver that serves none of the kinds: a world that is known and empty."""

    async def nothing(_: web.Request) -> web.Response:
        return web.json_response({"message": "the server could not find the requested resource"}, status=404)

    async with answered_by(nothing, tmp_path) as connected:
        yield connected


async def test_the_plugin_answers_in_sync_and_stops_on_cancellation(
    empty_karmada: Client, path: Path, tmp_path: Path
) -> None:
    ca, files = authority("both"), Files(tmp_path / "crt", tmp_path / "key", tmp_path / "ca")
    own = identity(ca, "plugin", serves=HOSTS)
    contents = (own.certificate_pem, own.key_pem, ca.certificate_pem)
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    plugin = asyncio.create_task(serve(empty_karmada, socket=path, port=Port(address, files)))
    await until(lambda: client.is_serving(f"unix:{path}"), bool)
    theirs = identity(ca, "client")
    (tmp_path / "client.crt").write_bytes(theirs.certificate_pem)
    (tmp_path / "client.key").write_bytes(theirs.key_pem)
    ours = Files(tmp_path / "client.crt", tmp_path / "client.key", files.ca)
    for where, how in ((f"unix:{path}", None), (address, ours)):
        with pytest.raises(NotFound, match="Karmada has 0 ServiceExports of other names"):
            await client.explain(where, "shop", "web", files=how)
    plugin.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await plugin
    assert not path.exists()


async def test_the_plugin_asks_its_prometheus(empty_karmada: Client, path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": []}})

    app = web.Application()
    app.router.add_get("/api/v1/query", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    at = Target("http://{}:{}".format(*runner.addresses[0]))
    plugin = asyncio.create_task(serve(empty_karmada, socket=path, prometheus=at))
    try:
        await until(lambda: client.is_serving(f"unix:{path}"), bool)
        async with asyncio.timeout(30):
            async for part in client.watch_fleet(f"unix:{path}"):
                if part.traffic_measurement.measured_at:
                    break
    finally:
        plugin.cancel()
        await asyncio.wait({plugin})
        await runner.cleanup()


async def command(*args: str) -> tuple[int, str, str]:
    """Run a command of Towpath while the server runs here."""
    done = await asyncio.to_thread(towpath, *args)
    return done.returncode, done.stdout, done.stderr


async def test_the_explain_command_shows_clusters_and_reasons(address: str) -> None:
    code, out, err = await command("explain", "shop/web", "--socket", address.removeprefix("unix:"))

    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["shop/web", "(flomesh.io)"]
    assert ["b", "r1/default/default/b"] in lines
    assert ["c", "ServiceNotBound"] in [line[:2] for line in lines]
    first, second = (lines.index(["imported", "by", "port", "from", "address"]) + n for n in (1, 2))
    assert lines[first] == ["a", "80/TCP", "http,", "grpc", "r1/default/default/b", "10.9.9.9:8080/web"]
    assert lines[second][:4] == ["b", "80/TCP", "http,", "grpc"]


async def test_the_commands_speak_json(address: str) -> None:
    where = ("-o", "json", "--socket", address.removeprefix("unix:"))
    code, out, err = await command("explain", "shop/web", "--dialect", "flomesh.io", *where)
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert [e["clusterKey"] for e in answer["exporters"]][1] == "r1/default/default/b"

    code, out, err = await command("members", *where)
    assert (code, err) == (0, "")
    assert [m["name"] for m in json.loads(out)["clusters"]] == ["a", "b", "c", "d"]


async def test_the_members_command_says_what_is_missing(path: Path) -> None:
    async with serving(path, world({"a": Member(name="a"), **fleet("b")})):
        code, out, err = await command("members", "--socket", str(path))
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()][1] == [
        "a",
        "Ready",
        "default/default/default/a",
        "none",
        "nothing",
    ]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["explain", "web"], 2, "error: Invalid service 'web': must be NAMESPACE/NAME.\n"),
        (["explain", "shop/we"], 1, "error: ServiceExport shop/we does not exist. Did you mean shop/web?\n"),
    ],
)
async def test_the_commands_fail_in_one_line(address: str, args: list[str], code: int, message: str) -> None:
    assert await command(*args, "--socket", address.removeprefix("unix:")) == (code, "", message)


async def test_without_a_socket_the_local_karmadas_plugin_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("TOWPATH_SOCKET", raising=False)
    code, out, err = await command("members")
    assert (code, out) == (1, "")
    assert err == (
        f"error: {tmp_path / 'towpath' / 'local'} contains no local Karmada. "
        "Run `towpath local up` to create one. "
        "To ask elsewhere, pass --kubeconfig, or --socket or --plugin of a plugin.\n"
    )
