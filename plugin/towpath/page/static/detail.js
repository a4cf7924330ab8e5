// What is open: a service with its chain, or a member. It follows the store: a chain is asked for again when the
// revision of its service is another.
import { el } from "./dom.js";
import { memberDetail } from "./member-detail.js";
import { serviceDetail } from "./service-detail.js";

export class Detail {
  #route = {};
  #shown = ""; // what the content is of: another one starts at the top
  #asked = ""; // the service and its revision

  constructor(panel, content, store) {
    Object.assign(this, { panel, content, store });
  }

  open(route) {
    this.#route = route;
    const shown = JSON.stringify([route.service, route.member]);
    const isOther = shown !== this.#shown;
    this.#shown = shown;
    this.panel.hidden = !route.service && !route.member;
    document.body.classList.toggle("open", !this.panel.hidden);
    if (isOther) {
      this.#asked = "";
      this.content.replaceChildren();
      this.content.scrollTop = 0;
    }
    this.refresh();
  }

  refresh() {
    if (!this.store.isLoaded || this.panel.hidden) return;
    if (this.#route.member) this.content.replaceChildren(...memberDetail(this.store, this.#route.member));
    else this.#askFor(this.#route.service);
  }

  async #askFor([namespace, name, dialect = ""]) {
    const row = [...this.store.services.values()].find(
      (service) => service.namespace === namespace && service.name === name && (!dialect || service.dialect === dialect),
    );
    const asked = JSON.stringify([namespace, name, dialect, row?.revision, this.store.source.connected]);
    if (asked === this.#asked) return;
    this.#asked = asked;
    const content = await fetched(`/api/explain?${new URLSearchParams({ namespace, name, dialect })}`, row);
    if (asked !== this.#asked) return; // another one was opened meanwhile
    if (content.problem && this.content.childElementCount && this.store.source.connected === false) return;
    this.content.replaceChildren(...(content.made ?? [el("h2", {}, `${namespace}/${name}`), el("p", { class: "verdict Pending" }, content.problem)]));
  }
}

async function fetched(path, row) {
  try {
    const answer = await fetch(path);
    const said = await answer.json();
    return answer.ok ? { made: serviceDetail(said, row) } : { problem: said.message };
  } catch {
    return { problem: "The server does not answer. The chain is shown as soon as it does." };
  }
}
