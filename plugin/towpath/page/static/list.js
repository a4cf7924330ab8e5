// A list of any length that has elements for the rows in sight alone, with keys and a selected row.
import { el } from "./dom.js";

const BEYOND = 6; // rows above and below that are ready to be scrolled to

export class List {
  #rows = [];
  #pool = [];
  #cursor = -1;
  #isDue = false;

  // ``draw(element, row)`` fills an element; ``key(row)`` identifies a row; ``open(row)`` is for Enter and clicks.
  constructor(box, height, { draw, key, open }) {
    Object.assign(this, { box, height, draw, key, open });
    this.space = el("div", { class: "space" });
    box.append(this.space);
    box.addEventListener("scroll", () => this.#later(), { passive: true });
    box.addEventListener("keydown", (event) => this.#press(event));
    this.space.addEventListener("click", (event) => this.#click(event));
    new ResizeObserver(() => this.#later()).observe(box);
  }

  show(rows) {
    const current = this.#rows[this.#cursor];
    this.#rows = rows;
    this.#cursor = current ? rows.findIndex((row) => this.key(row) === this.key(current)) : -1;
    this.space.style.height = `${rows.length * this.height}px`;
    this.#later();
  }

  select(selected) {
    this.selected = selected;
    this.#later();
  }

  resize(height) {
    this.height = height;
    this.show(this.#rows);
  }

  #later() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#draw();
    });
  }

  #draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / this.height) - BEYOND);
    const last = Math.min(this.#rows.length, first + Math.ceil(this.box.clientHeight / this.height) + 2 * BEYOND);
    while (this.#pool.length < last - first) this.#add();
    this.#pool.forEach((element, number) => this.#place(element, first + number, last));
    const active = this.#pool[this.#cursor - first];
    if (active && this.#cursor >= first && this.#cursor < last) this.box.setAttribute("aria-activedescendant", active.id);
    else this.box.removeAttribute("aria-activedescendant");
  }

  #add() {
    const element = el("div", { class: "row", role: "option", id: `${this.box.id}-${this.#pool.length}` });
    this.#pool.push(element);
    this.space.append(element);
  }

  #place(element, place, last) {
    element.hidden = place >= last;
    if (element.hidden) return;
    const row = this.#rows[place];
    element.style.transform = `translateY(${place * this.height}px)`;
    element.dataset.place = place;
    element.setAttribute("aria-setsize", this.#rows.length);
    element.setAttribute("aria-posinset", place + 1);
    element.setAttribute("aria-selected", this.key(row) === this.selected);
    element.classList.toggle("cursor", place === this.#cursor);
    if (element.drawn === row) return;
    element.replaceChildren();
    this.draw(element, row);
    element.drawn = row;
  }

  #click(event) {
    const element = event.target.closest(".row");
    if (!element) return;
    this.#cursor = Number(element.dataset.place);
    this.open(this.#rows[this.#cursor]);
    this.#later();
  }

  #press(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / this.height) - 1);
    const steps = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" && this.#rows[this.#cursor]) this.open(this.#rows[this.#cursor]);
    else if (event.key in steps) this.#move(steps[event.key]);
    else return;
    event.preventDefault();
  }

  #move(step) {
    const last = this.#rows.length - 1;
    this.#cursor = Math.max(0, Math.min(last, this.#cursor + step));
    const top = this.#cursor * this.height;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + this.height > this.box.scrollTop + this.box.clientHeight) {
      this.box.scrollTop = top + this.height - this.box.clientHeight;
    }
    this.#later();
  }
}
