// Makes elements. Whatever comes from an object becomes text, and a link stays on this page.
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
      continue;
    }
    if (name === "href" && !String(value).startsWith("#")) throw new Error("a link leaves the page");
    made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

export const byId = (id) => document.getElementById(id);

// A mark for a state: colour and shape differ, so that colour alone tells nothing.
export const mark = (state) => el("span", { class: `mark ${state}`, role: "img", "aria-label": words[state] ?? state });

export const words = {
  OK: "In sync",
  LeftOut: "Left out",
  Pending: "Pending",
  Broken: "Broken",
  Ready: "Ready",
  Lost: "Lost",
  Drained: "Drained",
  NoGateway: "No gateway",
  good: "Good",
  bad: "Bad",
  waiting: "Waiting",
  plain: "Changed",
};
