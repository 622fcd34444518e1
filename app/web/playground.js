// The playground: pictures in, what the network sees and says out.
import { bars } from "./charts.js";
import { byId, element, percent, size } from "./elements.js";
import { drawing, paintHeat, place, windowOf } from "./pictures.js";
import { get, onceMore, patiently, post, Problem, refusal, upload } from "./service.js";

const AT_ONCE = 3; // a browser opens six connections; the others are for the pixels
const LABELS_SHOWN = 30;

const unknown = element("div"); // why nothing is known of the model
const served = element("span");
const running = new Set(); // what Cancel ends: pictures that came together, and each that is tried again
let known = learn();
let drawn = 0;

/** Ask what the model is, and show it; null if that is not told. */
function learn() {
  return get("model").then(introduce).catch((problem) => {
    served.remove();
    byId("known").hidden = true;
    byId("known").before(unknown);
    unknown.replaceChildren(refusal(problem));
    return null;
  });
}

function introduce(body) {
  const more = body.labels.length - LABELS_SHOWN;
  byId("labels").replaceChildren(...body.labels.slice(0, LABELS_SHOWN).map((label) => element("li", {}, label)),
    ...(more > 0 ? [element("li", {}, `and ${more} more`)] : []));
  byId("known").hidden = false;
  unknown.replaceChildren();
  served.textContent = `Model ${body.name}, ${body.digest.slice(0, 19)}…`;
  byId("foot").append(served);
  return body;
}

/** What is known of the model that gave an answer, or null. The service is asked again if another one was loaded. */
async function modelOf({ model: { digest } }) {
  const held = known;
  if ((await held)?.digest === digest) return held;
  if (known === held) known = learn(); // of several answers the first one asks
  const now = await known;
  return now?.digest === digest ? now : null;
}

/** Look at these pictures; the answers that are under way for older ones end. */
function take(files) {
  if (!files.length) return;
  cancel();
  running.clear();
  const cards = files.map((file) => new Card(file));
  byId("results").prepend(...cards.map((card) => card.shown));
  look(cards);
}

/** Have these cards answered, beside whatever else is under way, and say what came of it. */
async function look(cards) {
  const mine = new AbortController();
  running.add(mine);
  say(cards.length === 1 ? `Looking at ${cards[0].file.name}…` : `Looking at ${cards.length} pictures…`);
  byId("cancel").hidden = byId("clear").hidden = false;
  const waiting = [...cards];
  const work = async () => {
    for (let card = waiting.shift(); card; card = waiting.shift()) await card.run(mine.signal);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (!running.delete(mine)) return;
  if (!running.size) hideCancel();
  say(summary(cards));
}

function summary(cards) {
  if (cards.length === 1) return `${cards[0].file.name}: ${cards[0].outcome}.`;
  const answered = cards.filter((card) => card.answer).length;
  const refused = cards.length - answered;
  return `${cards.length} pictures: ${answered} answered${refused ? `, ${refused} not` : ""}.`;
}

function cancel() {
  for (const work of running) work.abort();
}

function hideCancel() {
  if (document.activeElement === byId("cancel")) byId("clear").focus();
  byId("cancel").hidden = true;
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
    this.life = new AbortController();
    this.url = URL.createObjectURL(file);
    this.picture = element("img", { loading: "lazy", src: this.url, alt: `The picture ${file.name}`, onload: () => this.fit(), onerror: () => this.unseen() });
    this.inner = element("div", { class: "inner" }, this.picture);
    this.frame = element("div", { class: "frame" }, this.inner);
    this.caption = element("figcaption", {}, element("b", {}, file.name), size(file.size));
    this.side = element("figure", { class: "pixels" });
    this.says = element("div", {}, element("p", { class: "quiet" }, "Waiting for its turn."));
    this.shown = element("li", { class: "sheet result", tabindex: -1 }, element("figure", {}, this.frame, this.caption), this.side, this.says);
    this.shown.card = this;
  }

  /** Ask, and show the answer or the refusal; never throws. */
  async run(signal) {
    try {
      this.show(await patiently(() => this.send(signal), (problem) => this.wait(problem), signal));
      this.mark();
      this.pixels();
    } catch (problem) {
      if (problem.name !== "AbortError") return this.refuse(problem);
      this.outcome = "cancelled";
      this.says.replaceChildren(element("p", { class: "quiet" }, "Cancelled."), this.retry());
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
    this.says.replaceChildren(refusal(problem, onceMore(problem)));
  }

  refuse(problem) {
    this.outcome = problem.message.replace(/\.$/, "");
    this.says.replaceChildren(refusal(problem), ...(problem.isPassing ? [this.retry()] : []));
  }

  retry() {
    return element("div", { class: "actions" }, element("button", { type: "button", onclick: () => this.again() }, "Try again"));
  }

  again() {
    this.shown.focus({ preventScroll: true }); // the button goes away
    look([this]);
  }

  show({ body, timing }) {
    this.answer = body;
    const [best] = body.predictions;
    this.outcome = `${best.label}, ${percent(best.score)}${body.abstain ? ", not sure" : ""}`;
    const { format, width, height } = body.image;
    this.caption.lastChild.textContent = `${format}, ${width} × ${height} pixels, ${size(this.file.size)}`;
    this.fit(width, height);
    this.button = element("button", { type: "button", "aria-expanded": "false", onclick: () => this.toggle() }, "Why?");
    this.reason = element("div", { class: "why", hidden: true, "aria-live": "polite" });
    this.says.replaceChildren(
      element("p", { class: "verdict" }, element("strong", {}, best.label), element("span", {}, percent(best.score)),
        body.abstain ? element("em", { class: "badge" }, "not sure") : null),
      ...(body.abstain ? [element("p", { class: "quiet small" }, "The score is too low, or the picture unlike everything seen in training.")] : []),
      bars(body.predictions.map(({ label, score }) => ({ name: label, part: score }))),
      element("p", { class: "times" }, ["decode", "queue", "infer"].map((stage) => element("span", {}, `${stage} ${(timing[stage] ?? 0).toFixed(1)} ms`))),
      element("div", { class: "actions" }, this.button), this.reason);
  }

  /** Mark the part that the network saw, as soon as it is known what that network takes. */
  async mark() {
    const { width, height } = this.answer.image;
    this.seen = windowOf(width, height, (await modelOf(this.answer))?.input);
    this.fit(width, height);
  }

  /** Put the picture into the square of its frame, with the part that the network sees if that is known. */
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

  async pixels() {
    const { signal } = this.life;
    try {
      const url = URL.createObjectURL(await (await patiently(() => post("pixels", this.file, signal), () => {}, signal)).blob());
      const sides = element("span");
      const image = element("img", { src: url, alt: "The same picture as the network sees it", onload: () => {
        sides.textContent = `${image.naturalWidth} × ${image.naturalHeight} pixels`;
        URL.revokeObjectURL(url);
      } });
      this.side.replaceChildren(element("div", { class: "frame" }, image),
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
      if (body.model.digest !== this.answer.model.digest) {
        modelOf(body);
        throw new Problem("The model changed; send the picture again.");
      }
      this.cool();
      if (!body.heat.flat().some((value) => value > 0)) {
        return this.choose(body.class_index, element("p", {}, `Nothing in the picture speaks for “${body.label}”.`));
      }
      this.warm(body);
      this.choose(body.class_index,
        element("p", {}, `The bright parts are what the score of “${body.label}”, ${percent(body.score)}, rests on (${body.method}).`),
        element("p", { class: "legend", "aria-hidden": "true" }, "little", element("i"), "much"));
    } catch (problem) {
      if (problem.name === "AbortError") return;
      this.cool(); // what it shows belongs to another class
      if (this.reason.querySelector("button")) this.choose(null, refusal(problem, null));
      else this.reason.replaceChildren(refusal(problem, null));
    }
  }

  /** Say something of a class, or of none, above buttons for all that can be explained; the focus stays on its button. */
  choose(index, ...said) {
    const focused = [...this.reason.querySelectorAll("button")].indexOf(document.activeElement);
    const choice = this.answer.predictions.map(({ label, class_index }) => element("button", {
      type: "button", "aria-pressed": String(class_index === index), onclick: () => this.explain(class_index),
    }, label));
    this.reason.replaceChildren(...said,
      element("div", { class: "choice", role: "group", "aria-label": "Explain another class" }, choice));
    choice[focused]?.focus();
  }

  /** Lay the heat over the picture. */
  warm({ label, window, heat }) {
    this.heat = this.inner.appendChild(element("canvas", { class: "heat", role: "img", "aria-label": `Heat map: what the score of ${label} rests on` }));
    this.heat.hidden = this.reason.hidden;
    place(this.heat, window);
    paintHeat(this.heat, heat);
  }

  cool() {
    this.heat?.remove();
    this.heat = null;
  }

  forget() {
    this.asking?.abort();
    this.life.abort();
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
  running.clear(); // nothing more is said of it
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
  const files = [...event.dataTransfer.files];
  if (!files.length) say("That was no file. Save the picture first, or copy the picture itself and paste it.");
  take(files);
});
