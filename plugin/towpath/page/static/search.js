// Which services and members a search finds. A search is words, and fields such as state:broken.
import { standing } from "./store.js";

const texts = new WeakMap(); // by row: a row that changes is another object

export function parse(query) {
  const terms = { words: [], fields: [] };
  for (const word of query.toLowerCase().split(/\s+/).filter(Boolean)) {
    const [, field, value] = /^(state|exporter|importer|namespace):(.+)$/.exec(word) ?? [];
    if (field) terms.fields.push([field, value]);
    else terms.words.push(word);
  }
  return terms;
}

export function findsService(service, terms, members) {
  const text = textOf(service, members);
  return (
    terms.words.every((word) => text.includes(word)) &&
    terms.fields.every(([field, value]) => has[field](service, value, members))
  );
}

export function findsMember(member, terms) {
  const text = [member.name, member.key, member.gateway, standing(member)].join(" ").toLowerCase();
  return terms.words.every((word) => text.includes(word));
}

const named = (places, value, members) => places?.some((place) => members[place]?.name.toLowerCase() === value) ?? false;

const has = {
  state: (service, value) => service.state.toLowerCase() === value || (service.findings ?? []).some((f) => f.tag === value),
  exporter: (service, value, members) => named(service.exporters, value, members),
  importer: (service, value, members) => named(service.importing, value, members),
  namespace: (service, value) => service.namespace.toLowerCase() === value,
};

function textOf(service, members) {
  let text = texts.get(service);
  if (text === undefined) {
    const first = service.first ?? {};
    const exporters = (service.exporters ?? []).map((place) => members[place]?.name);
    const findings = (service.findings ?? []).flatMap((finding) => [finding.tag, finding.reason, finding.text]);
    text = [`${service.namespace}/${service.name}`, service.dialect, service.state, ...exporters, ...findings]
      .concat([first.step, first.cluster, first.reason, first.text])
      .join(" ")
      .toLowerCase();
    texts.set(service, text);
  }
  return text;
}
