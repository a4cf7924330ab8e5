// The cluster set in numbers: each number is a search for what it counts.
import { el, mark, words } from "./dom.js";
import { standing } from "./store.js";
import { write } from "./route.js";
import { isOn, said, sum, unknown } from "./traffic.js";

export function totals(box, store) {
  const members = tally(store.members, standing);
  const services = tally(store.services.values(), (service) => service.state);
  const parts = [
    el("span", { class: "total" }, el("b", {}, store.members.length), " members"),
    ...["Lost", "Drained", "NoGateway"].map((state) => number(members.get(state), state, words[state].toLowerCase())),
    el("span", { class: "total" }, el("b", {}, store.services.size), " services"),
    ...["OK", "LeftOut", "Pending", "Broken"].map((state) => number(services.get(state), state, words[state].toLowerCase())),
    traffic(store),
  ];
  box.replaceChildren(...parts.filter(Boolean));
}

function traffic(store) {
  if (!store.isLoaded || !isOn(store)) return null;
  const why = unknown(store);
  const all = why ? null : sum(store.flows.values());
  return el("span", { class: "total", title: why || "Between members, by the data path" }, all ? said(all) : why ? "traffic unknown" : "traffic not measured");
}

function number(count, state, word) {
  if (!count) return null;
  const isOfMembers = ["Lost", "Drained", "NoGateway"].includes(state);
  const q = isOfMembers ? state.toLowerCase() : `state:${state.toLowerCase()}`;
  return el("a", { class: "chip", href: write({ q }) }, mark(state), `${count} ${word}`);
}

function tally(rows, of) {
  const counts = new Map();
  for (const row of rows) counts.set(of(row), (counts.get(of(row)) ?? 0) + 1);
  return counts;
}
