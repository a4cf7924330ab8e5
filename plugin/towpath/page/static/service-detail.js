// The chain of a service, from its export to what each member holds, as `towpath explain` has it.
import { el, mark, words } from "./dom.js";
import { facts } from "./member-detail.js";
import { ofMember } from "./route.js";
import { ago, local } from "./time.js";

const MOST = 6; // clusters that are named before the others are counted

export function serviceDetail(explained, row) {
  const { state, exporters, ports, traffic, warnings } = explained;
  const first = explained.steps.flatMap((step) => step.links.map((link) => ({ ...link, step: step.step }))).find((link) => link.isFirst);
  return [
    el("h2", {}, mark(state), el("span", { class: "namespace" }, `${explained.namespace}/`), explained.name),
    el("p", { class: "quiet" }, explained.dialect),
    verdict(state, first),
    ...(row?.findings ?? []).filter((finding) => finding.text !== first?.text).map((finding) =>
      el("p", { class: "finding" }, el("span", { class: "tag" }, finding.tag), finding.text)),
    el("h3", {}, "Chain"),
    el("ol", { class: "chain" }, explained.steps.map(step)),
    exporters.length ? el("h3", {}, "Exported by, in order of precedence") : null,
    el("ul", { class: "plain-list" }, exporters.map(exporter)),
    ports.length ? el("h3", {}, "Endpoints") : null,
    ...ports.map((port) => el("div", {}, el("p", { class: "port" }, port.port), facts(port.endpoints.map(({ key, address }) => [key, address])))),
    ...(traffic ? policy(traffic) : []),
    warnings.length ? el("h3", {}, "Legal, but without the effect that it seems to have") : null,
    ...warnings.map((warning) => el("p", { class: "finding" }, el("span", { class: "tag" }, warning.reason), warning.text)),
  ].filter(Boolean);
}

function verdict(state, first) {
  if (!first) return el("p", { class: "verdict OK" }, "In sync: every link is OK.");
  const titles = { Broken: "First broken link", Pending: "Pending", LeftOut: "In sync. Left out by the configuration" };
  const place = first.clusters.length ? `${first.step} in ${cut(first.clusters)}` : first.step;
  return el("div", { class: `verdict ${state}` },
    el("b", {}, `${titles[state] ?? words[state] ?? state}: ${place}: ${first.reason}`),
    el("p", {}, first.text));
}

function step({ step, links }) {
  return el("li", {}, el("h4", {}, step), links.map(link));
}

function link({ subject, state, clusters, since, reason, text, isFirst }) {
  return el("div", { class: `link ${state}${isFirst ? " first" : ""}` },
    mark(state),
    el("div", {},
      el("span", { class: "subject" }, subject),
      since ? el("time", { datetime: since, title: local(since) }, ago(since)) : null,
      clusters.length ? named(clusters) : null,
      reason ? el("p", {}, el("b", {}, reason), " ", text) : null));
}

function named(clusters) {
  const names = clusters.map((name) => el("a", { href: ofMember(name, "") }, name));
  if (names.length <= MOST + 1) return el("span", { class: "clusters" }, names);
  const rest = el("details", {}, el("summary", {}, `and ${names.length - MOST} more`), el("span", { class: "clusters" }, names.slice(MOST)));
  return el("span", { class: "clusters" }, names.slice(0, MOST), rest);
}

function exporter({ cluster, lostSince, keptUntil }) {
  const until = keptUntil ? `, kept until ${local(keptUntil)}` : "";
  return el("li", {},
    mark(lostSince ? "Lost" : "Ready"),
    el("a", { href: ofMember(cluster, "") }, cluster),
    lostSince ? el("span", { class: "quiet" }, ` lost for ${ago(lostSince)}${until}`) : null);
}

function policy({ lbType, targets, conditions }) {
  return [
    el("h3", {}, `GlobalTrafficPolicy: ${lbType}`),
    facts(targets.map(({ key, weight }) => [key, weight === null ? "no weight" : `weight ${weight}`])),
    ...conditions.filter(({ status }) => status !== "True").map(({ type, reason, text }) =>
      el("p", { class: "finding" }, el("span", { class: "tag" }, `${type}: ${reason}`), text)),
  ];
}

const cut = (names) => (names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", "));
