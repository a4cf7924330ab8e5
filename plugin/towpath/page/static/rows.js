// How a service and a member look in a list.
import { el, mark } from "./dom.js";
import { standing } from "./store.js";
import { ago, local } from "./time.js";

export function drawService(element, { service, members }) {
  const { exporters = [], importing = [], behind = [], findings = [], first } = service;
  const names = exporters.map((place) => members[place].name);
  const why = first && service.state !== "OK" ? `${first.step}${first.cluster ? ` in ${first.cluster}` : ""}: ${first.reason}` : "";
  element.append(
    mark(service.state),
    el(
      "span",
      { class: "name" },
      el("span", { class: "full" }, el("span", { class: "namespace" }, `${service.namespace}/`), service.name),
      findings.map((finding) => el("span", { class: "tag", title: finding.text }, finding.tag)),
    ),
    el("span", { class: "from", title: names.join(", ") }, several(names, 2) || "no exporter"),
    el("span", { class: "arrived" }, `${importing.length - behind.length} / ${importing.length}`),
    el("span", { class: "why", title: first?.text }, why),
  );
}

export function drawMember(element, { member, exports, imports, lacks }) {
  const state = standing(member);
  const notes = {
    Lost: () => `lost for ${ago(member.lostSince)}`,
    Drained: () => "drained",
    NoGateway: () => (member.gateway ? `no address of ${member.gateway}` : "no gateway"),
    Ready: () => member.gateway,
  };
  element.append(
    mark(state),
    el("span", { class: "name" }, member.name),
    el("span", { class: "numbers", title: "Services exported, imported" }, `↑ ${exports}  ↓ ${imports}`),
    el("span", { class: "note", title: member.lostSince && local(member.lostSince) }, notes[state]()),
    el("span", { class: "lacks" }, lacks ? `${lacks} not in place` : ""),
  );
}

export function several(names, most = 3) {
  const rest = names.length - most;
  return names.slice(0, most).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}
