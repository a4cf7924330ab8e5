// Follows the server: its frames go into the store. The browser connects again by itself, but not after a
// refusal: then the address is loaded again, which shows the form for the token if that is what is missing.
const RETRY = 5000;

export function follow(store, told) {
  const source = new EventSource("/api/stream");
  told("connecting");
  source.onmessage = (event) => {
    store.apply(JSON.parse(event.data));
    told("open");
  };
  source.onerror = async () => {
    told("connecting");
    if (source.readyState !== EventSource.CLOSED) return;
    source.close();
    if ((await status()) === 401) location.reload();
    else setTimeout(() => follow(store, told), RETRY * (0.5 + Math.random()));
  };
}

async function status() {
  try {
    return (await fetch("/", { method: "HEAD" })).status;
  } catch {
    return 0;
  }
}
