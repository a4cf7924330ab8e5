// The page: the store, what is drawn of it, and the address that says what is open and searched for.
import { changes } from "./changes.js";
import { Detail } from "./detail.js";
import { byId, el } from "./dom.js";
import { keys } from "./keys.js";
import { List } from "./list.js";
import { Matrix } from "./matrix.js";
import { count } from "./pairs.js";
import { go, read } from "./route.js";
import { drawMember, drawService } from "./rows.js";
import { findsMember, findsService, parse } from "./search.js";
import { Store } from "./store.js";
import { follow } from "./stream.js";
import { ago, clock, local } from "./time.js";
import { totals } from "./totals.js";
import { unknown } from "./traffic.js";

const ROW = 36;
const TALL_ROW = 52;
const store = new Store();
const search = byId("search");
const isNarrow = matchMedia("(max-width: 1099px)");
const detail = new Detail(byId("detail"), byId("detail-content"), store);
let connection = "connecting";
let whyUnknown = "";

const services = new List(byId("services-list"), isNarrow.matches ? TALL_ROW : ROW, {
  draw: drawService,
  key: ({ service }) => service.id,
  open: ({ service }) => go({ service: service.id.split("/"), q: read().q }),
});
const members = new List(byId("members-list"), TALL_ROW, {
  draw: drawMember,
  key: ({ member }) => member.name,
  open: ({ member }) => go({ member: member.name, q: read().q }),
});
const matrix = new Matrix(byId("canvas"), {
  told: (text) => byId("picture-told").replaceChildren(text),
  open: (exporter, importer, isSame) => {
    if (isSame) return go({ member: exporter, q: read().q });
    go({ q: `exporter:${exporter} importer:${importer}` });
    return tab("services");
  },
});

function showData() {
  totals(byId("totals"), store);
  changes(byId("changes-list"), store);
  showFound();
  showTraffic();
  detail.refresh();
  document.body.classList.toggle("loaded", store.isLoaded);
}

function showFound() {
  const terms = parse(read().q);
  const found = [...store.services.values()].filter((service) => findsService(service, terms, store.members));
  found.sort((a, b) => worseFirst(a) - worseFirst(b)); // and by name, as the store has them
  const pairs = count(store.members, found);
  const rows = store.members.map((member, place) => ({
    member,
    exports: pairs.exports[place],
    imports: pairs.imports[place],
    lacks: pairs.lacks[place],
  }));
  const named = rows.filter(({ member }) => findsMember(member, terms));
  // Words that name no member search for services: the members then tell how many of those they have.
  const shown = named.length ? named : rows;
  services.show(found.map((service) => ({ service, members: store.members })));
  members.show(shown);
  matrix.show(store, pairs);
  byId("services-count").textContent = share(found.length, store.services.size);
  byId("members-count").textContent = share(shown.length, store.members.length);
}

function showTraffic() {
  const why = unknown(store);
  const line = byId("traffic");
  line.textContent = why
    ? `Traffic unknown. ${why}`
    : `Requests per second of all services, measured at ${clock(store.traffic.at)}`;
  line.title = line.textContent;
  whyUnknown = why;
}

const ORDER = ["Broken", "Pending", "LeftOut", "OK"];
const worseFirst = ({ state }) => ORDER.indexOf(state);
const share = (shown, all) => (shown === all ? `${all}` : `${shown} of ${all}`);

function showRoute() {
  const route = read();
  if (document.activeElement !== search) search.value = route.q;
  showFound();
  services.select(route.service && idOf(route.service));
  members.select(route.member);
  detail.open(route);
}

// A link may leave out the dialect.
function idOf([namespace, name, dialect]) {
  if (dialect) return `${namespace}/${name}/${dialect}`;
  return [...store.services.keys()].find((id) => id.startsWith(`${namespace}/${name}/`)) ?? `${namespace}/${name}/`;
}

function showLive() {
  const { connected, since, problem } = store.source;
  const isLive = connection === "open" && connected;
  const text = connection !== "open" ? "Connecting" : isLive ? "Live" : `Not live for ${ago(since)}`;
  const title = isLive ? `Since ${local(since)}` : connection === "open" ? problem : "The server does not answer.";
  byId("live").replaceChildren(el("span", { class: `live ${isLive ? "on" : "off"}`, title }, text));
}

function tab(name) {
  document.body.dataset.tab = name;
  for (const button of byId("tabs").children) button.setAttribute("aria-pressed", button.dataset.tab === name);
}

const frame = (work) => {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      work();
    });
  };
};

const later = frame(() => {
  showData();
  showLive();
});
store.addEventListener("change", later);
search.addEventListener("input", () => go({ ...read(), q: search.value.trim() }, { replace: true }));
for (const event of ["route", "popstate", "hashchange"]) addEventListener(event, showRoute);
isNarrow.addEventListener("change", () => services.resize(isNarrow.matches ? TALL_ROW : ROW));
byId("tabs").addEventListener("click", (event) => event.target.dataset.tab && tab(event.target.dataset.tab));
byId("close").addEventListener("click", () => go({ q: read().q }));
byId("help-button").addEventListener("click", () => byId("help").showModal());
setInterval(() => (unknown(store) === whyUnknown ? showLive() : later()), 10000);
keys({ search, close: () => go({ q: read().q }) });
tab("services");
showRoute();
showLive();
follow(store, (state) => {
  connection = state;
  showLive();
});
