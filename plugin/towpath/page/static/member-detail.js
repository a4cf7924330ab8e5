// What is known of one member, and of the services that are not well there.
import { el, mark, words } from "./dom.js";
import { ofService, write } from "./route.js";
import { standing } from "./store.js";
import { ago, local } from "./time.js";
import { received, said, sent, unknown } from "./traffic.js";

const MOST = 50;

export function memberDetail(store, name) {
  const member = store.member(name);
  if (!member) return [el("h2", {}, name), el("p", { class: "quiet" }, "The cluster set has no member of this name.")];
  const state = standing(member);
  return [
    el("h2", {}, mark(state), member.name),
    el("p", { class: `verdict ${state}` }, sentence(member, state)),
    facts([
      ["Cluster key", member.key],
      ["Gateway", member.gateway || "none"],
      ["Address", member.gatewayIp || "none"],
      ["Configured by", member.gatewaySource],
      ["Imports", (member.dialects ?? []).join(", ") || "nothing: it serves no ServiceImport"],
      ...traffic(store, name),
    ]),
    el("p", { class: "links" },
      el("a", { href: write({ member: name, q: `exporter:${name}` }) }, "Services that it exports"),
      el("a", { href: write({ member: name, q: `importer:${name}` }) }, "Services that it imports")),
    ...lacking(store, name),
  ];
}

function sentence(member, state) {
  if (state === "Lost") return `Karmada has not reached it for ${ago(member.lostSince)}, since ${local(member.lostSince)}.`;
  if (state === "Drained") return "Drained: its endpoints are taken out of every import.";
  if (state === "NoGateway") return member.gateway ? `The name of its gateway is not resolved.` : "Without a gateway it exports nothing.";
  return words[state];
}

function traffic(store, name) {
  const why = unknown(store);
  if (why) return [["Traffic", `Unknown. ${why}`]];
  const place = store.members.findIndex((member) => member.name === name);
  return [["Sends", sent(store, place)], ["Answers", received(store, place)]].map(
    ([title, rate]) => [title, rate ? said(rate) : "not measured"]);
}

export function facts(pairs) {
  return el("dl", {}, pairs.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function lacking(store, name) {
  const place = store.members.findIndex((member) => member.name === name);
  const found = [...store.services.values()].filter((service) => service.behind?.includes(place));
  if (!found.length) return [];
  return [
    el("h3", {}, `Imports that are not in place (${found.length})`),
    el("ul", { class: "plain-list" }, found.slice(0, MOST).map((service) =>
      el("li", {}, mark(service.state), el("a", { href: ofService(service.id, "") }, `${service.namespace}/${service.name}`)))),
    found.length > MOST ? el("p", { class: "quiet" }, `and ${found.length - MOST} more`) : null,
  ].filter(Boolean);
}
