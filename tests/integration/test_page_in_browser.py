"""The page in a real Chromium: what people see of a cluster set, and what they can do with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.support.chromium import Browser, Tab, browser
from tests.support.fleets import DIALECT, Plugin, broken, cluster, measured, requests, service
from towpath.page import feed as feed_module
from towpath.page.access import Access, LocalOnly, Token
from towpath.page.feed import Feed
from towpath.page.metrics import Metrics
from towpath.page.server import PageServer
from towpath.proto.v1alpha1 import inventory_pb2 as pb
from towpath.proto.v1alpha1.service_pb2 import Cluster, Condition, Link

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]
MEMBERS = ["amsterdam", "dublin", "frankfurt"]
MISSING = broken("Exporting", "ServiceMissing", "The cluster has no Service. Apply the Service.", "dublin")
PAYLOADS = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(2)</script>",
    "\"'><svg onload=alert(3)>",
    "javascript:alert(4)",
    "</title></style><iframe srcdoc='<script>parent.alert(5)</script>'>",
    "{{constructor.constructor('alert(6)')()}}",
)
NAMES = '[...document.querySelectorAll("#services-list .row:not([hidden]) .full")].map(e => e.textContent)'
SHOWN = """[...document.querySelectorAll(".panel")]
    .filter(panel => getComputedStyle(panel).visibility === "visible" && panel.offsetWidth)
    .map(panel => panel.id)"""
STRANGE = """document.querySelectorAll(
    "body script, iframe, svg, img[src=x], [onerror], [onload], [srcdoc], a:not([href^='#'])").length"""
OPENED = 'document.querySelector("#detail-content h2")?.textContent'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as started:
        yield started


@asynccontextmanager
async def serving(plugin: Plugin, access: Access | None = None) -> AsyncIterator[str]:
    feed = Feed(plugin.watch, plugin.explain)
    async with PageServer("127.0.0.1:0", feed, access or LocalOnly(), Metrics()) as server:
        running = asyncio.create_task(feed.run())
        yield f"http://127.0.0.1:{server.port}"
        running.cancel()


def fleet() -> Plugin:
    services = [
        service("web", ["amsterdam"], ["dublin", "frankfurt"]),
        service("cart", ["frankfurt"], ["amsterdam"], behind=["amsterdam"], state="Broken", first=MISSING),
        service("ledger", ["dublin"], MEMBERS, namespace="payments"),
    ]
    return Plugin(pb.WatchFleetResponse(clusters=map(cluster, MEMBERS), services=services))


@asynccontextmanager
async def opened(chromium: Browser, url: str) -> AsyncIterator[Tab]:
    async with chromium.tab() as tab:
        await tab.size(1440, 900)
        await tab.prefer("light")
        await tab.go(url)
        await tab.sees('document.body?.classList.contains("loaded")')
        yield tab


async def test_people_see_search_open_and_follow(chromium: Browser) -> None:
    plugin = fleet()
    async with serving(plugin) as url, opened(chromium, url) as tab:
        # What is not well stands first, then by name.
        await tab.sees(NAMES, ["shop/cart", "payments/ledger", "shop/web"])
        assert await tab.evaluate('document.getElementById("totals").textContent') == (
            "3 members3 services2 in sync1 broken"
        )
        await tab.sees('document.getElementById("live").textContent', "Live")

        # Search by a key, word by word; the address has it.
        await tab.press("/", "/")
        await tab.type("ledger dub")
        await tab.sees(NAMES, ["payments/ledger"])
        assert await tab.evaluate("location.hash") == "#/?q=ledger+dub"
        await tab.press("Escape")
        await tab.sees("location.hash", "#/")
        await tab.sees(f"{NAMES}.length", 3)

        # Keys alone open a service, with its chain and the first broken link.
        await tab.evaluate('document.getElementById("services-list").focus()')
        await tab.press("j", "j")
        await tab.press("Enter", "\r")
        await tab.sees(OPENED, "shop/cart")
        assert await tab.evaluate("location.hash") == f"#/service/shop/cart/{DIALECT}"
        verdict = await tab.evaluate('document.querySelector(".verdict").textContent')
        assert verdict == f"First broken link: Exporting in dublin: ServiceMissing{MISSING.text}"
        steps = await tab.evaluate('[...document.querySelectorAll(".chain h4")].map(e => e.textContent)')
        assert steps[:4] == ["Export", "Service", "Exporting", "Importing"]

        # A change arrives by itself, in the list, in what is open, and among the recent changes.
        plugin.put(service("cart", ["frankfurt", "dublin"], MEMBERS))
        await tab.sees('document.querySelector(".verdict").textContent', "In sync: every link is OK.")
        await tab.sees(NAMES, ["payments/ledger", "shop/cart", "shop/web"])
        await tab.press("Escape")
        await tab.sees('document.getElementById("detail").hidden')
        changes = await tab.evaluate(
            '[...document.querySelectorAll("#changes-list li > span:last-child")].map(e => e.textContent)'
        )
        assert changes == ["shop/cart exported by dublin", "shop/cart in sync"]

        # A link to a member, and back.
        await tab.evaluate('document.querySelector("#members-list .row:nth-child(2)").click()')
        await tab.sees(OPENED, "dublin")
        plugin.tell(pb.WatchFleetResponse(clusters=[cluster("dublin", drained=True)]))
        await tab.sees(
            'document.querySelector(".verdict").textContent',
            "Drained: its endpoints are taken out of every import.",
        )
        await tab.evaluate("history.back()")
        await tab.sees('document.getElementById("detail").hidden')
        assert tab.errors == []


async def test_a_link_opens_what_it_names(chromium: Browser) -> None:
    async with serving(fleet()) as url:
        async with opened(chromium, f"{url}/#/service/payments/ledger?q=exporter:dublin") as tab:
            await tab.sees(OPENED, "payments/ledger")
            await tab.sees(NAMES, ["payments/ledger"])
            assert await tab.evaluate('document.getElementById("search").value') == "exporter:dublin"
        async with opened(chromium, f"{url}/#/service/shop/none") as tab:
            await tab.sees(
                'document.querySelector(".verdict")?.textContent', "ServiceExport shop/none does not exist."
            )


async def test_the_picture_tells_pairs_and_narrows_down(chromium: Browser) -> None:
    async with serving(fleet()) as url, opened(chromium, url) as tab:
        caption = 'document.getElementById("picture-told").textContent'
        await tab.evaluate('document.getElementById("canvas").focus()')
        await tab.press("ArrowRight")
        await tab.sees(caption, "amsterdam")
        await tab.press("ArrowRight")
        await tab.sees(caption, "amsterdam → dublin: 1 service")
        await tab.press("ArrowDown")
        await tab.press("ArrowDown")
        await tab.press("ArrowLeft")
        await tab.sees(caption, "frankfurt → amsterdam: 1 service, 1 not in place")
        await tab.press("Enter", "\r")
        await tab.sees(NAMES, ["shop/cart"])
        assert (
            await tab.evaluate('document.getElementById("search").value')
            == "exporter:frankfurt importer:amsterdam"
        )


def unmeasured(reason: str, text: str, *gone: str) -> pb.WatchFleetResponse:
    """Return what a plugin tells that has no rates (any more): ``gone`` are pairs, as "importer exporter"."""
    pairs = [pb.ClusterPair(importer=pair.split()[0], exporter=pair.split()[1]) for pair in gone]
    measurement = pb.TrafficMeasurement(reason=reason, text=text)
    return pb.WatchFleetResponse(gone_traffic=pairs, traffic_measurement=measurement)


async def test_traffic_is_shown_by_pair_member_and_in_all(chromium: Browser) -> None:
    plugin = fleet()
    legend, caption, totals = (
        f'document.getElementById("{name}").textContent' for name in ("traffic", "picture-told", "totals")
    )
    facts = 'document.querySelector("#detail-content dl").textContent'
    async with serving(plugin) as url, opened(chromium, url) as tab:
        await tab.sees(f"{legend}.startsWith('Traffic unknown. The plugin has reported no traffic.')")
        plugin.tell(unmeasured("NoPrometheus", "The plugin has no Prometheus."))
        await tab.sees(legend, "Traffic unknown. The plugin has no Prometheus.")
        await tab.evaluate('document.getElementById("canvas").focus()')
        await tab.press("ArrowRight")
        await tab.press("ArrowRight")
        await tab.sees(caption, "amsterdam → dublin: 1 service")
        assert "traffic" not in await tab.evaluate(totals)

        # Measured: the pair that is pointed at, another one without requests, and one without a rate.
        carried = (
            requests("dublin", "amsterdam", 1200.0, 24.0),
            requests("frankfurt", "amsterdam", 0.0, 0.0),
        )
        plugin.tell(measured(*carried))
        full = "amsterdam → dublin: 1 service; dublin sends 1.2K requests/s, 2% errors"
        await tab.sees(caption, full)
        await tab.sees(f"{totals}.endsWith('1.2K requests/s, 2% errors')")
        await tab.sees(f"{legend}.startsWith('Requests per second of all services')")
        await tab.press("ArrowRight")
        await tab.sees(caption, "amsterdam → frankfurt: 1 service; frankfurt sends 0 requests/s")
        await tab.press("ArrowDown")
        await tab.press("ArrowLeft")
        await tab.press("ArrowLeft")
        await tab.sees(caption, "dublin → amsterdam: 1 service; traffic not measured")

        # A change arrives by itself, in what a member sends and answers too.
        await tab.evaluate('location.hash = "#/member/amsterdam"')
        await tab.sees(f"{facts}.endsWith('Sendsnot measuredAnswers1.2K requests/s, 2% errors')")
        plugin.tell(measured(requests("dublin", "amsterdam", 0.012, None)))
        await tab.sees(f"{facts}.endsWith('Answers0.012 requests/s, errors unknown')")

        # What is unknown again is no zero.
        gone = ("dublin amsterdam", "frankfurt amsterdam")
        plugin.tell(unmeasured("PrometheusUnreachable", "Prometheus does not answer.", *gone))
        await tab.sees(f"{totals}.endsWith('traffic unknown')")
        await tab.sees(legend, "Traffic unknown. Prometheus does not answer.")
        await tab.sees(f"{facts}.endsWith('TrafficUnknown. Prometheus does not answer.')")
        await tab.sees(caption, "dublin → amsterdam: 1 service; traffic unknown")

        # A server that is silent for more than a minute says nothing about now.
        plugin.tell(measured(*carried))
        await tab.sees(f"{totals}.endsWith('1.2K requests/s, 2% errors')")
        await tab.evaluate("void (Date.now = (now => () => now() + 80_000)(Date.now))")
        plugin.put(service("new", ["dublin"], []))
        await tab.sees(f"{totals}.endsWith('traffic unknown')")
        assert tab.errors == []


async def test_colours_and_widths(chromium: Browser) -> None:
    async with serving(fleet()) as url, opened(chromium, url) as tab:
        paper = "getComputedStyle(document.body).backgroundColor"
        await tab.sees(paper, "rgb(246, 245, 242)")
        await tab.prefer("dark")
        await tab.sees(paper, "rgb(20, 23, 26)")
        await tab.press("t", "t")  # light, whatever the system says
        await tab.sees(paper, "rgb(246, 245, 242)")
        await tab.go(f"{url}/?again")
        await tab.sees("document.documentElement.dataset.theme", "light")
        await tab.sees('document.body.classList.contains("loaded")')

        assert await tab.evaluate(SHOWN) == ["members", "picture", "services", "changes"]
        await tab.size(390, 800)
        await tab.sees(SHOWN, ["services"])
        assert await tab.evaluate("document.documentElement.scrollWidth") == 390
        await tab.evaluate('document.querySelector("#tabs [data-tab=members]").click()')
        await tab.sees(SHOWN, ["members"])
        await tab.evaluate('document.querySelector("#members-list .row").click()')
        await tab.sees(f"{SHOWN}.includes('detail')")
        assert tab.errors == []


def evil(payload: str) -> tuple[Cluster, pb.FleetService]:
    """Return a member and a service with the payload in every text."""
    link = Link(
        step="Exporting",
        subject=payload,
        state="Broken",
        cluster=payload,
        reason=payload,
        text=payload,
        since=payload,
    )
    conditions = [
        Condition(type="Conflict", status="True", reason=payload, message=payload),
        Condition(type="Valid", status="False", reason=payload, message=payload),
    ]
    made = service(
        payload,
        [payload],
        [payload],
        namespace=payload,
        behind=[payload],
        state="Broken",
        first=link,
        conditions=conditions,
    )
    made.summary.dialect = payload
    fields = ("cluster_key", "gateway_host", "gateway_ip", "gateway_source", "lost_since")
    return cluster(payload, dialects=[payload], **dict.fromkeys(fields, payload)), made


async def test_no_text_of_an_object_becomes_markup_or_script(chromium: Browser) -> None:
    """Every text that reaches the page holds what would run if it were not text."""
    members, services = zip(*map(evil, PAYLOADS), strict=True)
    plugin = Plugin(pb.WatchFleetResponse(clusters=members, services=services))
    plugin.tell(unmeasured(PAYLOADS[0], "".join(PAYLOADS)))
    async with serving(plugin) as url, opened(chromium, url) as tab:
        plugin.tell(pb.WatchFleetResponse(clusters=[cluster(payload, drained=True) for payload in PAYLOADS]))
        await tab.sees(f'document.querySelectorAll("#changes-list li").length > {len(PAYLOADS)}')
        assert await tab.evaluate(STRANGE) == 0
        for payload in PAYLOADS:
            part = quote(payload, safe="")
            for address in (f"#/member/{part}", f"#/service/{part}/{part}?q={part}"):
                await tab.evaluate(f"location.hash = {json.dumps(address)}")
                await tab.sees(f"({OPENED} ?? '').includes({json.dumps(payload)})")
                assert await tab.evaluate(STRANGE) == 0
            await tab.sees('document.querySelectorAll(".chain li").length > 5')
            assert payload in await tab.evaluate('document.getElementById("detail-content").textContent')
        assert tab.errors == [], "a dialog, or a script that was refused"


async def test_the_policy_stops_what_a_fault_would_let_run(chromium: Browser) -> None:
    async with serving(fleet()) as url, opened(chromium, url) as tab:
        with pytest.raises(AssertionError, match="TrustedHTML"):
            await tab.evaluate('document.body.innerHTML = "<b>x</b>"')
        with pytest.raises(AssertionError, match="TrustedScript"):
            await tab.evaluate('document.body.setAttribute("onclick", "window.ran = 1")')
        await tab.evaluate(
            "(() => { const a = document.createElement('a'); a.href = 'javascript:window.ran = 1';"
            " document.body.append(a); a.click(); })()"
        )
        refused = await tab.evaluate("fetch('http://127.0.0.2:9/').then(() => 'sent', () => 'refused')")
        assert refused == "refused"
        assert await tab.evaluate("window.ran") is None
        assert any("Content Security Policy" in error for error in tab.errors)


async def test_the_token_is_asked_for_and_kept(
    chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("page") / "token"
    path.write_text("correct-horse-battery")
    async with serving(fleet(), Token(path)) as url, chromium.tab() as tab:
        await tab.go(f"{url}/#/service/shop/web")
        await tab.sees("document.activeElement?.id", "token")
        await tab.type("wrong-wrong-wrong")
        await tab.press("Enter", "\r")
        await tab.sees('document.getElementById("problem").textContent', "The token is wrong.")
        await tab.evaluate('document.getElementById("token").value = "correct-horse-battery"')
        await tab.press("Enter", "\r")
        await tab.sees(OPENED, "shop/web")
        assert await tab.evaluate("document.cookie") == "", "a script can read the cookie"


async def test_a_plugin_that_goes_and_comes_is_told(
    chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "LAST_RETRY_SECONDS", 0.2)
    plugin = fleet()
    async with serving(plugin) as url, opened(chromium, url) as tab:
        live = 'document.getElementById("live").textContent'
        plugin.stop()
        await tab.sees(f"{live}.startsWith('Not live for')")
        await tab.sees(f"{NAMES}.length", 3)
        plugin.start()
        await tab.sees(live, "Live")


async def test_a_server_that_comes_back_is_followed(chromium: Browser) -> None:
    plugin = fleet()
    feed = Feed(plugin.watch, plugin.explain)
    running = asyncio.create_task(feed.run())
    live = 'document.getElementById("live").textContent'
    async with PageServer("127.0.0.1:0", feed, LocalOnly(), Metrics()) as server:
        url = f"http://127.0.0.1:{server.port}"
        async with chromium.tab() as tab:
            await tab.go(url)
            await tab.sees(live, "Live")
            await server.__aexit__(None, None, None)
            await tab.sees(live, "Connecting")
            async with PageServer(f"127.0.0.1:{server.port}", feed, LocalOnly(), Metrics()):
                plugin.put(service("new", ["dublin"], []))
                await tab.sees(f"{NAMES}.includes('shop/new')")
                await tab.sees(live, "Live")
    running.cancel()


async def test_a_large_fleet_has_rows_for_what_is_in_sight(chromium: Browser) -> None:
    members = [f"member-{number:03}" for number in range(100)]
    services = [service(f"web-{number:04}", members[:3], members) for number in range(1000)]
    plugin = Plugin(pb.WatchFleetResponse(clusters=map(cluster, members), services=services))
    async with serving(plugin) as url, opened(chromium, url) as tab:
        await tab.sees('document.getElementById("services-count").textContent', "1000")
        assert await tab.evaluate('document.querySelectorAll(".row").length') < 100
        await tab.evaluate('document.getElementById("services-list").focus()')
        await tab.press("End")
        await tab.sees(f"{NAMES}.includes('shop/web-0999')")
        assert await tab.evaluate('document.querySelectorAll(".row").length') < 100
