// The address: what is open and what is searched for, as #/service/NAMESPACE/NAME/DIALECT?q=... or
// #/member/NAME?q=... A link to it shows the same to somebody else.
export function read(hash = location.hash) {
  const [path, query] = hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").map(decode);
  const q = new URLSearchParams(query ?? "").get("q") ?? "";
  if (parts[0] === "service" && parts.length >= 3) return { service: parts.slice(1, 4), q };
  if (parts[0] === "member" && parts[1]) return { member: parts[1], q };
  return { q };
}

export function write({ service, member, q }) {
  const path = service ? ["service", ...service] : member ? ["member", member] : [];
  const query = q ? `?${new URLSearchParams({ q })}` : "";
  return `#/${path.map(encodeURIComponent).join("/")}${query}`;
}

export const ofService = (id, q) => write({ service: id.split("/"), q });
export const ofMember = (name, q) => write({ member: name, q });

// A search is typed letter by letter: that is one step back, not many.
export function go(route, { replace = false } = {}) {
  const hash = write(route);
  if (hash === location.hash) return;
  if (replace) history.replaceState(null, "", hash);
  else history.pushState(null, "", hash);
  dispatchEvent(new Event("route"));
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
