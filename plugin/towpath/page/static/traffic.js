// The requests that members send to each other: what is known of them, and how it is said.
const MAX_AGE = 75000; // the plugin measures every 15 s, and takes back what is older than 60 s
const number = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 2 });
const percent = new Intl.NumberFormat("en", { style: "percent", maximumSignificantDigits: 2 });
const OFF = ["NoPrometheus", "NotReported"];

// Why the traffic is unknown; empty if it is known. A server that is silent says nothing about now.
export function unknown({ traffic, trafficHeard }, now = Date.now()) {
  if (traffic.reason) return traffic.text;
  return now - trafficHeard > MAX_AGE ? "The server of this page has not reported for a minute." : "";
}

// Whether somebody wants to have it measured.
export const isOn = ({ traffic }) => !OFF.includes(traffic.reason);

export const perSecond = ([requests]) => `${number.format(requests)}/s`;

export function said([requests, errors]) {
  const text = `${number.format(requests)} requests/s`;
  if (errors === null) return `${text}, errors unknown`;
  return errors > 0 ? `${text}, ${percent.format(errors / requests)} errors` : text;
}

export const flow = (store, importer, exporter) => store.flows.get(flowKey(importer, exporter)) ?? null;

export const flowKey = (importer, exporter) => `${importer}:${exporter}`;

// What a pair of members carries; empty where there is nothing to carry, or nobody wants to know.
export function ofPair(store, importer, exporter, shared) {
  const found = flow(store, importer, exporter);
  if (!isOn(store) || (!shared && !found)) return "";
  if (unknown(store)) return "; traffic unknown";
  return found ? `; ${store.members[importer].name} sends ${said(found)}` : "; traffic not measured";
}

// The sum over the pairs that are measured; null if none is.
export function sum(flows) {
  let [requests, errors, isMeasured] = [0, 0, false];
  for (const [some, failed] of flows) {
    requests += some;
    errors = failed === null || errors === null ? null : errors + failed;
    isMeasured = true;
  }
  return isMeasured ? [requests, errors] : null;
}

export function sent(store, place) {
  return sum(store.members.map((_, exporter) => flow(store, place, exporter)).filter(Boolean));
}

export function received(store, place) {
  return sum(store.members.map((_, importer) => flow(store, importer, place)).filter(Boolean));
}
