// Everything that the server has told, kept up to date by its frames.
import { flowKey } from "./traffic.js";

export class Store extends EventTarget {
  members = [];
  services = new Map();
  changes = [];
  flows = new Map(); // requests and errors per second, by importer and exporter
  traffic = { reason: "NotReported", text: "" };
  trafficHeard = 0;
  source = { connected: false };
  isLoaded = false;

  apply(frame) {
    if (frame.whole) {
      this.members = frame.members;
      this.services = new Map(frame.services.map((service) => [service.id, service]));
      this.changes = frame.changes;
      this.flows = new Map();
      this.isLoaded = true;
    } else {
      this.#merge(frame);
    }
    this.#carry(frame);
    this.source = frame.source ?? this.source;
    this.dispatchEvent(new Event("change"));
  }

  #merge(frame) {
    if (frame.members) {
      const fresh = new Map(frame.members.map((member) => [member.name, member]));
      this.members = this.members.map((member) => fresh.get(member.name) ?? member);
    }
    const order = this.services.size;
    for (const service of frame.services ?? []) this.services.set(service.id, service);
    for (const id of frame.gone ?? []) this.services.delete(id);
    if (frame.services && this.services.size > order) {
      this.services = new Map([...this.services].sort(([a], [b]) => (a < b ? -1 : 1)));
    }
    if (frame.changes) this.changes = [...this.changes, ...frame.changes].slice(-200);
  }

  #carry({ traffic, flows = [], goneFlows = [] }) {
    for (const pair of goneFlows) this.flows.delete(flowKey(...pair));
    for (const [importer, exporter, ...rate] of flows) this.flows.set(flowKey(importer, exporter), rate);
    if (!traffic) return;
    this.traffic = traffic;
    this.trafficHeard = Date.now();
  }

  member(name) {
    return this.members.find((member) => member.name === name);
  }
}

// What a member is, in one word: the worst that holds.
export function standing(member) {
  if (member.lostSince) return "Lost";
  if (member.drained) return "Drained";
  return member.gatewayIp ? "Ready" : "NoGateway";
}
