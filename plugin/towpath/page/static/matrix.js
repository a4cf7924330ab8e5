// The picture: a row for each exporting cluster, a column for each importing one, and a cell that is the darker
// the more services go that way. A cell in another colour has services that are not in place.
import { BROKEN, PENDING, IN_PLACE } from "./pairs.js";
import { standing } from "./store.js";
import { flow, ofPair, perSecond, unknown } from "./traffic.js";

const LABELS_FROM = 13; // pixels of a cell from which names fit beside it
const NUMBERS_FROM = 24;
const RATES_FROM = 36;
const LARGEST = 48;
const BROADEST = 2.4; // widths of a cell, in heights

export class Matrix {
  #members = [];
  #pairs = null;
  #store = null;
  #cursor = null;
  #isDue = false;

  // ``told(text)`` says what is under the pointer, ``open(exporter, importer)`` is for Enter and clicks.
  constructor(canvas, { told, open }) {
    Object.assign(this, { canvas, told, open, box: canvas.parentElement, pen: canvas.getContext("2d") });
    canvas.addEventListener("pointermove", (event) => this.#point(this.#cellAt(event)));
    canvas.addEventListener("pointerleave", () => this.#point(null));
    canvas.addEventListener("click", (event) => this.#open(this.#cellAt(event)));
    canvas.addEventListener("keydown", (event) => this.#press(event));
    canvas.addEventListener("blur", () => this.#point(null));
    addEventListener("theme", () => this.#later());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#later());
    new ResizeObserver(() => this.#later()).observe(this.box);
  }

  show(store, pairs) {
    const { members } = store;
    this.#members = members;
    this.#pairs = pairs;
    this.#store = store;
    if (this.#cursor && Math.max(...this.#cursor) >= members.length) this.#cursor = null;
    this.#later();
    this.#tell();
  }

  #later() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      if (this.#pairs && this.box.clientWidth) this.#draw();
    });
  }

  #draw() {
    const { pen, canvas } = this;
    const [width, height] = [this.box.clientWidth, this.box.clientHeight];
    const scale = devicePixelRatio || 1;
    canvas.width = width * scale;
    canvas.height = height * scale;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    this.#measure(width, height);
    const colours = this.#colours();
    for (let exporter = 0; exporter < this.#members.length; exporter++) {
      for (let importer = 0; importer < this.#members.length; importer++) this.#cell(exporter, importer, colours);
    }
    if (this.hasLabels) this.#labels(colours);
    if (this.#cursor) this.#cross(colours);
  }

  // Cells are as wide as there is room, but no bands: a place is found again by its row and its column.
  #measure(width, height) {
    const { pen } = this;
    const size = Math.max(1, this.#members.length);
    pen.font = `11px ${getComputedStyle(this.box).fontFamily}`;
    const widest = Math.max(0, ...this.#members.map((member) => pen.measureText(member.name).width));
    const label = Math.min(150, widest + 16);
    this.hasLabels = (height - 20) / size >= LABELS_FROM && (width - label) / size >= LABELS_FROM;
    this.left = this.hasLabels ? label : 0;
    let fitting = (width - this.left) / size;
    this.isSlanted = this.hasLabels && Math.min(fitting, LARGEST * BROADEST) < widest + 8;
    if (this.isSlanted) fitting = (width - this.left - label / 2) / size; // the last name leans over the edge
    this.top = !this.hasLabels ? 0 : this.isSlanted ? Math.min(label, 70) : 20;
    this.rowHeight = Math.min((height - this.top) / size, LARGEST);
    this.columnWidth = Math.min(fitting, this.rowHeight * BROADEST);
  }

  // Where a cell is, in whole pixels: others would shine through its edges.
  #box(exporter, importer) {
    const { left, top, rowHeight, columnWidth } = this;
    const [x, y] = [Math.round(left + importer * columnWidth), Math.round(top + exporter * rowHeight)];
    const gap = Math.min(rowHeight, columnWidth) >= 6 ? 1 : 0;
    const width = Math.round(left + (importer + 1) * columnWidth) - x - gap;
    const height = Math.round(top + (exporter + 1) * rowHeight) - y - gap;
    return { x, y, width: Math.max(1, width), height: Math.max(1, height) };
  }

  #cell(exporter, importer, colours) {
    const { pen } = this;
    const { x, y, width, height } = this.#box(exporter, importer);
    const place = exporter * this.#pairs.size + importer;
    const shared = this.#pairs.shared[place];
    const strength = shared && 0.18 + 0.82 * (Math.log1p(shared) / Math.log1p(this.#pairs.most));
    pen.fillStyle = exporter === importer ? colours.self : colours.empty;
    pen.fillRect(x, y, width, height);
    if (!shared) return;
    pen.globalAlpha = strength;
    pen.fillStyle = colours[this.#pairs.worst[place]];
    pen.fillRect(x, y, width, height);
    pen.globalAlpha = 1;
    if (Math.min(width, height) < NUMBERS_FROM) return;
    pen.fillStyle = strength > 0.6 ? colours["on-strong"] : colours.text;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const rate = height >= RATES_FROM && !unknown(this.#store) && flow(this.#store, importer, exporter);
    pen.fillText(shared, x + width / 2, y + height / 2 + (rate ? -7 : 1));
    if (rate) pen.fillText(perSecond(rate), x + width / 2, y + height / 2 + 9, width - 4);
  }

  #labels(colours) {
    const { pen, left, top } = this;
    this.#members.forEach((member, place) => {
      const { x, y, width, height } = this.#box(place, place);
      const state = standing(member);
      pen.fillStyle = state === "Ready" ? colours.text : colours[state === "Lost" ? BROKEN : PENDING];
      pen.textBaseline = "middle";
      pen.textAlign = "right";
      pen.fillText(member.name, left - 8, y + height / 2, left - 10);
      pen.textAlign = this.isSlanted ? "left" : "center";
      pen.save();
      pen.translate(x + width / 2, top - 9);
      if (this.isSlanted) pen.rotate(-Math.PI / 4);
      pen.fillText(member.name, 0, 0);
      pen.restore();
    });
  }

  #cross(colours) {
    const { pen } = this;
    const [exporter, importer] = this.#cursor;
    const { x, y, width, height } = this.#box(exporter, importer);
    const { x: left, y: top } = this.#box(0, 0);
    const last = this.#box(this.#members.length - 1, this.#members.length - 1);
    pen.strokeStyle = pen.fillStyle = colours.text;
    pen.lineWidth = 1.5;
    pen.strokeRect(x - 1, y - 1, width + 2, height + 2);
    pen.globalAlpha = 0.12;
    pen.fillRect(left, y, last.x + last.width - left, height);
    pen.fillRect(x, top, width, last.y + last.height - top);
    pen.globalAlpha = 1;
  }

  // A canvas knows no custom properties: an element resolves them, in light and in dark.
  #colours() {
    const probe = this.box.appendChild(document.createElement("i"));
    const resolve = (name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    const found = { [IN_PLACE]: resolve("accent"), [PENDING]: resolve("waiting"), [BROKEN]: resolve("bad") };
    for (const name of ["empty", "self", "text", "on-strong"]) found[name] = resolve(name);
    probe.remove();
    return found;
  }

  #cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const importer = Math.floor((event.clientX - box.left - this.left) / this.columnWidth);
    const exporter = Math.floor((event.clientY - box.top - this.top) / this.rowHeight);
    const isInside = [exporter, importer].every((place) => place >= 0 && place < this.#members.length);
    return isInside ? [exporter, importer] : null;
  }

  #point(cell) {
    this.#cursor = cell;
    this.#tell();
    this.#later();
  }

  #tell() {
    if (!this.#cursor) return this.told("");
    const [exporter, importer] = this.#cursor;
    const [from, to] = [this.#members[exporter].name, this.#members[importer].name];
    if (exporter === importer) return this.told(from);
    const place = exporter * this.#pairs.size + importer;
    const [shared, behind] = [this.#pairs.shared[place], this.#pairs.behind[place]];
    const services = `${shared} service${shared === 1 ? "" : "s"}`;
    const traffic = ofPair(this.#store, importer, exporter, shared);
    return this.told(`${from} → ${to}: ${services}${behind ? `, ${behind} not in place` : ""}${traffic}`);
  }

  #open(cell) {
    if (cell) this.open(this.#members[cell[0]].name, this.#members[cell[1]].name, cell[0] === cell[1]);
  }

  #press(event) {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.key === "Enter") this.#open(this.#cursor);
    else if (event.key in steps) {
      const last = this.#members.length - 1;
      const [down, right] = steps[event.key];
      const [row, column] = this.#cursor ?? [0, -1];
      this.#point([clamp(row + down, last), clamp(column + right, last)]);
    } else return;
    event.preventDefault();
  }
}

const clamp = (place, last) => Math.max(0, Math.min(last, place));
