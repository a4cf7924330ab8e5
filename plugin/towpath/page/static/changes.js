// What has happened since the server has been looking, the newest first.
import { el, mark } from "./dom.js";
import { ofMember, ofService } from "./route.js";
import { clock, local } from "./time.js";

export function changes(box, store) {
  if (box.drawn === store.changes) return;
  box.drawn = store.changes;
  box.replaceChildren(...store.changes.map(item).reverse());
}

function item({ at, kind, id, name, tone, text }) {
  const subject = kind === "service" ? el("a", { href: ofService(id, "") }, name) : kind === "member" ? el("a", { href: ofMember(id, "") }, name) : name;
  return el("li", {}, el("time", { datetime: at, title: local(at) }, clock(at)), mark(tone), el("span", {}, subject, " ", text));
}
