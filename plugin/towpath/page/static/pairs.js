// Services counted by pair of clusters: how many one exports to the other, and how many of them are not in place.
export const IN_PLACE = 0;
export const PENDING = 1;
export const BROKEN = 2;

export function count(members, services) {
  const size = members.length;
  const pairs = {
    size,
    shared: new Uint16Array(size * size),
    behind: new Uint16Array(size * size),
    worst: new Uint8Array(size * size),
    exports: new Uint16Array(size),
    imports: new Uint16Array(size),
    lacks: new Uint16Array(size),
    most: 0,
  };
  const isBehind = new Uint8Array(size);
  for (const service of services) add(pairs, service, isBehind);
  return pairs;
}

function add(pairs, { exporters = [], importing = [], behind = [], state }, isBehind) {
  const worse = state === "Broken" ? BROKEN : PENDING;
  for (const place of behind) isBehind[place] = 1;
  for (const place of exporters) pairs.exports[place]++;
  for (const importer of importing) {
    pairs.imports[importer]++;
    pairs.lacks[importer] += isBehind[importer];
    for (const exporter of exporters) {
      if (exporter === importer) continue;
      const cell = exporter * pairs.size + importer;
      pairs.most = Math.max(pairs.most, ++pairs.shared[cell]);
      if (!isBehind[importer]) continue;
      pairs.behind[cell]++;
      pairs.worst[cell] = Math.max(pairs.worst[cell], worse);
    }
  }
  for (const place of behind) isBehind[place] = 0;
}
