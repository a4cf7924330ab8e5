// Times as people read them.
const UNITS = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

export function ago(stamp, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - Date.parse(stamp)) / 1000));
  if (Number.isNaN(seconds)) return stamp;
  const [size, unit] = UNITS.find(([size]) => seconds >= size) ?? UNITS[3];
  return `${Math.floor(seconds / size)} ${unit}`;
}

export const local = (stamp) => new Date(stamp).toLocaleString();

export const clock = (stamp) =>
  new Date(stamp).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
