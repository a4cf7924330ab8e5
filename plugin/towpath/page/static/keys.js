// Keys that work everywhere on the page.
import { byId } from "./dom.js";
import { go, read } from "./route.js";

export function keys({ search, close }) {
  const pressed = {
    "/": () => search.select(),
    "?": () => byId("help").showModal(),
    t: () => byId("theme").click(),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    if (event.key === "Escape") return leave(event);
    const isTyped = event.target instanceof HTMLInputElement;
    if (isTyped || !(event.key in pressed)) return;
    event.preventDefault();
    pressed[event.key]();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "Enter") return;
    event.preventDefault();
    byId("services-list").focus();
    byId("services-list").dispatchEvent(new KeyboardEvent("keydown", { key: "Home" }));
  });

  // One step at a time: first what is open, then the search.
  function leave(event) {
    const route = read();
    event.preventDefault();
    if (route.service || route.member) close();
    else {
      search.value = "";
      go({}, { replace: true });
    }
    if (event.target === search) search.blur();
  }
}
