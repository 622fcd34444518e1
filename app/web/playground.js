// The playground: pictures in, what the network sees and says out.
import { bars } from "./charts.js";
import { byId, element, percent, size } from "./elements.js";
import { drawing, paintHeat, place, windowOf } from "./pictures.js";
import { get, patiently, post, refusal, upload } from "./service.js";

const AT_ONCE = 3; // a browser opens six connections; the others are for the pixels
const LABELS_SHOWN = 30;

const model = get("model").then(introduce, (problem) => void byId("known").before(refusal(problem)));
let running = null;
let drawn = 0;

function introduce(body) {
  const more = body.labels.length - LABELS_SHOWN;
  byId("labels").append(...body.labels.slice(0, LABELS_SHOWN).map((label) => element("li", {}, label)),
    ...(more > 0 ? [element("li", {}, `and ${more} more`)] : []));
  byId("known").hidden = false;
  byId("foot").append(element("span", {}, `Model ${body.name}, ${body.digest.slice(0, 19)}…`));
  return body;
}

/** Look at these pictures; whatever is under way for older ones ends. */
async function take(files) {
  if (!files.length) return;
  running?.abort();
  const mine = (running = new AbortController());
  const cards = files.map((file) => new Card(file));
  byId("results").prepend(...cards.map((card) => card.shown));
  say(files.length === 1 ? `Looking at ${files[0].name}…` : `Looking at ${files.length} pictures…`);
  byId("cancel").hidden = byId("clear").hidden = false;
  const waiting = [...cards];
  const work = async () => {
    for (let card = waiting.shift(); card; card = waiting.shift()) await card.run(mine.signal);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (running !== mine) return;
  running = null;
  byId("cancel").hidden = true;
  say(summary(cards));
}

function summary(cards) {
  if (cards.length === 1) return `${cards[0].file.name}: ${cards[0].outcome}.`;
  const answered = cards.filter((card) => card.answer).length;
  const refused = cards.length - answered;
  return `${cards.length} pictures: ${answered} answered${refused ? `, ${refused} not` : ""}.`;
}

function cancel() {
  running?.abort();
}

function say(text) {
  byId("status").textContent = text;
}

/** One picture, from the drop to its answer. */
class Card {
  constructor(file) {
    this.file = file;
    this.outcome = "waiting";
    this.answer = null;
    this.url = URL.createObjectURL(file);
    this.picture = element("img", { src: this.url, alt: `The picture ${file.name}`, onload: () => this.fit(), onerror: () => this.unseen() });
    this.inner = element("div", { class: "inner" }, this.picture);
    this.frame = element("div", { class: "frame" }, this.inner);
    this.caption = element("figcaption", {}, element("b", {}, file.name), size(file.size));
    this.side = element("figure", { class: "pixels" });
    this.says = element("div", {}, element("p", { class: "quiet" }, "Waiting for its turn."));
    this.shown = element("li", { class: "sheet result" }, element("figure", {}, this.frame, this.caption), this.side, this.says);
    this.shown.card = this;
  }

  /** Ask, and show the answer or the refusal; never throws. */
  async run(signal) {
    try {
      this.show(await patiently(() => this.send(signal), (problem) => this.wait(problem), signal), await model);
      this.pixels(await model, signal);
    } catch (problem) {
      if (problem.name !== "AbortError") return this.refuse(problem);
      this.outcome = "cancelled";
      this.says.replaceChildren(element("p", { class: "quiet" }, "Cancelled."),
        element("div", { class: "actions" }, element("button", { type: "button", onclick: () => this.again() }, "Try again")));
    }
  }

  send(signal) {
    const bar = element("progress", { max: 1, value: 0, "aria-label": `Upload of ${this.file.name}` });
    const told = element("p", { class: "quiet" }, "Sending…");
    this.says.replaceChildren(told, bar);
    const onProgress = (part) => {
      bar.value = part;
      told.textContent = part < 1 ? `Sending, ${percent(part, 0)} of ${size(this.file.size)}` : "Sent. The network is looking…";
    };
    return upload("predict?top_k=5", this.file, { signal, onProgress });
  }

  wait(problem) {
    const seconds = problem.retryAfter === 1 ? "a second" : `${problem.retryAfter} seconds`;
    this.says.replaceChildren(refusal(problem, `Trying once more in ${seconds}.`));
  }

  refuse(problem) {
    this.outcome = problem.message.replace(/\.$/, "");
    this.says.replaceChildren(refusal(problem));
  }

  show({ body, timing }, about) {
    this.answer = body;
    const [best] = body.predictions;
    this.outcome = `${best.label}, ${percent(best.score)}${body.abstain ? ", not sure" : ""}`;
    const { format, width, height } = body.image;
    this.caption.lastChild.textContent = `${format}, ${width} × ${height} pixels, ${size(this.file.size)}`;
    this.seen = windowOf(width, height, about?.input);
    this.fit(width, height);
    this.button = element("button", { type: "button", "aria-expanded": "false", onclick: () => this.toggle() }, "Why?");
    this.reason = element("div", { class: "why", hidden: true, "aria-live": "polite" });
    this.says.replaceChildren(
      element("p", { class: "verdict" }, element("strong", {}, best.label), element("span", {}, percent(best.score)),
        body.abstain ? element("em", { class: "badge", title: "The score is too low, or the picture unlike everything seen in training" }, "not sure") : null),
      bars(body.predictions.map(({ label, score }) => ({ name: label, part: score }))),
      element("p", { class: "times" }, ["decode", "queue", "infer"].map((stage) => element("span", {}, `${stage} ${(timing[stage] ?? 0).toFixed(1)} ms`))),
      element("div", { class: "actions" }, this.button), this.reason);
  }

  /** Put the picture into the square of its frame, and mark the part that the network sees. */
  fit(width = this.picture.naturalWidth, height = this.picture.naturalHeight) {
    if (!width || !height) return;
    const [across, down] = [Math.min(1, width / height), Math.min(1, height / width)];
    place(this.inner, { left: (1 - across) / 2, top: (1 - down) / 2, right: (1 + across) / 2, bottom: (1 + down) / 2 });
    if (!this.seen || this.cut || this.seen.right - this.seen.left + this.seen.bottom - this.seen.top > 1.99) return;
    this.cut = element("div", { class: "window" });
    place(this.cut, this.seen);
    this.inner.append(this.cut);
  }

  unseen() {
    this.picture.remove();
    this.frame.classList.add("unseen");
  }

  async pixels(about, signal) {
    try {
      const url = URL.createObjectURL(await (await post("pixels", this.file, signal)).blob());
      const sides = about ? `${about.input.width} × ${about.input.height} pixels` : "";
      this.side.replaceChildren(
        element("div", { class: "frame" }, element("img", { src: url, alt: `The same picture as the network sees it, ${sides}`, onload: () => URL.revokeObjectURL(url) })),
        element("figcaption", {}, element("b", {}, "What the network sees"), sides));
    } catch (problem) {
      if (problem.name !== "AbortError") this.side.replaceChildren(element("p", { class: "say calm small" }, problem.message));
    }
  }

  toggle() {
    const isOpen = this.button.getAttribute("aria-expanded") === "true";
    this.button.setAttribute("aria-expanded", String(!isOpen));
    this.button.textContent = isOpen ? "Why?" : "Hide why";
    this.reason.hidden = isOpen;
    if (this.heat) this.heat.hidden = isOpen;
    if (!isOpen && (!this.reason.firstChild || this.reason.querySelector(".say"))) this.explain(this.answer.predictions[0].class_index);
  }

  /** Ask what the score of a class rests on, and lay it over the picture. */
  async explain(index) {
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    if (!this.reason.querySelector("button")) this.reason.replaceChildren(element("p", { class: "quiet" }, "Looking for what mattered…"));
    try {
      const body = await (await patiently(() => post(`explain?class_index=${index}`, this.file, signal), () => {}, signal)).json();
      this.heat ??= this.inner.appendChild(element("canvas", { class: "heat", role: "img" }));
      this.heat.hidden = this.reason.hidden;
      this.heat.setAttribute("aria-label", `Heat map: what the score of ${body.label} rests on`);
      place(this.heat, body.window);
      paintHeat(this.heat, body.heat);
      const choice = this.answer.predictions.map(({ label, class_index }) => element("button", {
        type: "button", "aria-pressed": String(class_index === body.class_index), onclick: () => this.explain(class_index),
      }, label));
      const focused = [...this.reason.querySelectorAll("button")].indexOf(document.activeElement);
      this.reason.replaceChildren(
        element("p", {}, `The bright parts are what the score of “${body.label}”, ${percent(body.score)}, rests on (${body.method}).`),
        element("p", { class: "legend", "aria-hidden": "true" }, "little", element("i"), "much"),
        element("div", { class: "choice", role: "group", "aria-label": "Explain another class" }, choice));
      choice[focused]?.focus();
    } catch (problem) {
      if (problem.name === "AbortError") return;
      this.reason.replaceChildren(refusal(problem, null));
      if (this.heat) this.heat.hidden = true; // it belongs to another class
    }
  }

  again() {
    this.forget();
    this.shown.remove();
    take([this.file]);
  }

  forget() {
    this.asking?.abort();
    URL.revokeObjectURL(this.url);
  }
}

for (const input of [byId("choose"), byId("camera")]) {
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = ""; // so that the same file can be chosen again
  });
}
byId("sample").addEventListener("click", async () => take([await drawing(drawn++)]));
byId("cancel").addEventListener("click", cancel);
byId("clear").addEventListener("click", () => {
  cancel();
  running = null; // nothing more is said of it
  byId("cancel").hidden = true;
  for (const shown of byId("results").children) shown.card.forget();
  byId("results").replaceChildren();
  byId("clear").hidden = true;
  say("");
  byId("choose").focus();
});
addEventListener("keydown", (event) => event.key === "Escape" && cancel());
addEventListener("paste", (event) => take([...event.clipboardData.files]));
addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("drop").classList.add("over");
});
addEventListener("dragleave", (event) => event.relatedTarget || byId("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  take([...event.dataTransfer.files]);
});
