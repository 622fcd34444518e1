// The tensor lab: choose an experiment, change its parameters, run it on the server, read what happened.
import { graph } from "./charts.js";
import { byId, element } from "./elements.js";
import { get, onceMore, patiently, refusal } from "./service.js";

const MEMORIES = 6; // colours in the sheet; letters go on after them
const SKIPPED = "#main"; // where the skip link leads: no experiment
let demos = new Map();
let running = null;

patiently(() => get("tensors"), wait).then((lab) => {
  demos = new Map(lab.demos.map((demo) => [demo.name, demo]));
  byId("demos").append(...lab.demos.map((demo) => element("a", { href: `#${demo.name}` }, demo.title)));
  byId("foot").append(element("span", {}, `PyTorch ${lab.torch} on ${lab.devices.join(" and ")}`), element("a", { href: "tensors/report" }, "All of it as one text"));
  addEventListener("hashchange", open);
  open();
}, (problem) => byId("fault").replaceChildren(refusal(problem, null)));

/** Show the experiment that the address names, with its parameters, and run it: "#numpy-bridge?rows=4". */
function open(change) {
  if (change && location.hash === SKIPPED) return;
  running?.abort();
  const [name, query] = location.hash === SKIPPED ? [""] : location.hash.slice(1).split("?");
  const demo = demos.get(name) ?? (name ? null : demos.values().next().value);
  byId("demo").hidden = !demo;
  for (const old of ["fault", "steps", "script"]) byId(old).replaceChildren();
  if (!demo) {
    byId("fault").replaceChildren(element("p", { class: "say" }, `There is no experiment “${name}”. Choose one from the list.`));
    return;
  }
  for (const link of byId("demos").children) {
    if (link.hash === `#${demo.name}`) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  byId("title").textContent = demo.title;
  byId("summary").replaceChildren(...withCode(demo.summary));
  const given = new URLSearchParams(query);
  byId("controls").replaceChildren(...demo.parameters.map((parameter) => control(parameter, given.get(parameter.name))),
    element("button", { class: "primary" }, "Run"));
  byId("controls").onsubmit = (event) => {
    event.preventDefault();
    const asked = chosen();
    history.replaceState(null, "", `#${demo.name}${asked ? `?${asked}` : ""}`);
    run(demo, asked);
  };
  run(demo, given.toString() || chosen()); // as the link has it: the service says what of it is not allowed
}

const chosen = () => new URLSearchParams(new FormData(byId("controls"))).toString();

function control({ name, kind, default: usual, minimum, maximum, step, choices, help }, given) {
  const id = `parameter-${name}`;
  const isPossible = given !== null && (choices?.map(String).includes(given) ?? true);
  const value = isPossible ? given : String(usual);
  const described = { id, name, "aria-describedby": `${id}-help` };
  const field = kind === "choice"
    ? element("select", described, choices.map((choice) => element("option", { value: choice, selected: String(choice) === value }, String(choice))))
    : element("input", { ...described, type: "number", value, min: minimum, max: maximum, step: step ?? "any" });
  const bounds = minimum === null || maximum === null ? "" : ` ${minimum} to ${maximum}.`;
  return element("div", {}, element("label", { class: "name", for: id }, name.replaceAll("_", " ")), field,
    element("small", { id: `${id}-help` }, `${sentence(help)}${bounds}`));
}

const sentence = (words) => (words ? `${words[0].toUpperCase()}${words.slice(1).replace(/\.$/, "")}.` : "");

async function run(demo, asked) {
  running?.abort();
  const { signal } = (running = new AbortController());
  const send = () => {
    byId("fault").replaceChildren();
    byId("status").textContent = "Running…";
    return get(`tensors/${demo.name}${asked ? `?${asked}` : ""}`, signal);
  };
  try {
    const result = await patiently(send, wait, signal);
    byId("status").textContent = `Ran in ${time(result.duration_ms)} with PyTorch ${result.torch}.`;
    const letters = lettersOf(result.steps);
    byId("steps").replaceChildren(...result.steps.map((step) => stepOf(step, letters)));
    byId("script").replaceChildren(element("details", {}, element("summary", {}, "The whole script, as it ran"), code(result.code)));
  } catch (problem) {
    if (problem.name === "AbortError") return;
    byId("status").textContent = "";
    byId("steps").replaceChildren();
    byId("script").replaceChildren();
    byId("fault").replaceChildren(refusal(problem, null));
  }
}

function wait(problem) {
  byId("status").textContent = "";
  byId("fault").replaceChildren(refusal(problem, onceMore(problem)));
}

const time = (ms) => (ms < 1000 ? `${ms.toFixed(ms < 10 ? 2 : 0)} ms` : `${(ms / 1000).toFixed(1)} s`);

/** A letter for each memory that two names share somewhere in the run. */
function lettersOf(steps) {
  const shared = steps.flatMap((step) => step.tensors).filter((tensor) => tensor.shares_memory_with.length);
  const memories = [...new Set(shared.map((tensor) => tensor.memory))];
  return new Map(memories.map((memory, index) => [memory, index]));
}

function stepOf(step, letters) {
  return element("article", { class: "sheet step" }, element("h3", {}, step.title),
    step.explanation.split("\n\n").map((paragraph) => element("p", {}, withCode(paragraph))), code(step.code),
    step.output ? element("pre", { class: "output", tabindex: 0, role: "group", "aria-label": "Output" }, step.output.replace(/\n$/, "")) : null,
    step.tensors.length ? element("div", { class: "tensors" }, step.tensors.map((tensor) => tensorOf(tensor, letters))) : null,
    step.graph ? graph(step.graph, "Autograd graph") : null,
    element("p", { class: "times" }, time(step.duration_ms)));
}

/** Text in which `backticks` mark code. */
const withCode = (text) => text.split("`").map((piece, index) => (index % 2 ? element("code", {}, piece) : piece));

function tensorOf(tensor, letters) {
  const index = letters.get(tensor.memory);
  const others = tensor.shares_memory_with;
  const mark = index === undefined ? null : element("span", { class: "memory" }, element("b", { "aria-hidden": "true" }, letter(index)),
    `memory ${letter(index)}${others.length ? `, shared with ${others.join(", ")}` : ""}`);
  const facts = [`${tensor.kind === "array" ? "array" : "tensor"} ${shapeOf(tensor.shape)}`, tensor.dtype.replace("torch.", ""), tensor.device, `strides ${shapeOf(tensor.strides)}`,
    tensor.requires_grad ? "needs a gradient" : null].filter(Boolean);
  const box = element("section", { class: "tensor", "data-memory": index === undefined ? null : letter(index), "aria-label": `${tensor.name}` },
    element("h4", {}, tensor.name, mark), element("p", { class: "facts" }, facts.map((fact) => element("span", {}, fact))),
    tensor.values === null ? null : gridsOf(tensor), tensor.note ? element("p", { class: "small quiet" }, tensor.note) : null);
  if (index !== undefined) box.style.setProperty("--mine", `var(--m${1 + (index % MEMORIES)})`);
  return box;
}

const letter = (index) => String.fromCharCode(65 + (index % 26));
const shapeOf = (shape) => (shape.length ? shape.join(" × ") : "scalar");

/** Values as tables: the last two axes are rows and columns, one table for each place along the others. */
function gridsOf({ name, values, shape }) {
  const most = Math.max(...[values].flat(Infinity).map((value) => (typeof value === "number" ? Math.abs(value) : 0)), 1e-12);
  const grids = [];
  const walk = (part, depth, place) => {
    if (depth > 2) return part.forEach((inner, index) => walk(inner, depth - 1, [...place, index]));
    const rows = depth === 2 ? part : [depth === 1 ? part : [part]];
    const where = place.length ? `${name}[${place.join(", ")}]` : name;
    if (place.length) grids.push(element("p", { class: "small quiet mono" }, where));
    grids.push(element("table", { class: "grid" }, element("caption", { class: "off-screen" }, `Values of ${where}`),
      element("tbody", {}, rows.map((row) => element("tr", {}, row.map((value) => cell(value, most)))))));
  };
  walk(values, shape.length, []);
  return element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": `Values of ${name}` }, grids);
}

function cell(value, most) {
  const made = element("td", { class: value < 0 ? "minus" : null }, typeof value === "number" ? short(value) : String(value));
  if (typeof value === "number") made.style.setProperty("--part", Math.abs(value) / most);
  return made;
}

function short(value) {
  if (Number.isInteger(value)) return Math.abs(value) < 1e7 ? String(value) : value.toExponential(2);
  return Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3 ? value.toExponential(2) : String(Number(value.toFixed(4)));
}

const WORDS = /(#.*)|("""[^]*?"""|[rbf]*"(?:\\.|[^"\\])*"|[rbf]*'(?:\\.|[^'\\])*')|\b(and|as|assert|break|class|def|del|elif|else|except|finally|for|from|if|import|in|is|lambda|not|or|pass|raise|return|try|while|with|yield|None|True|False)\b|\b(\d[\d_.]*(?:e[+-]?\d+)?)\b/g;
const KINDS = [null, "c", "s", "k", "n"];

/** Python with comments, strings, keywords and numbers told apart. */
function code(text) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(WORDS)) {
    const kind = KINDS[match.findIndex((group, index) => index && group !== undefined)];
    pieces.push(text.slice(end, match.index), element("span", { class: kind }, match[0]));
    end = match.index + match[0].length;
  }
  return element("pre", { tabindex: 0, role: "group", "aria-label": "Code" }, element("code", {}, pieces, text.slice(end).replace(/\n+$/, "")));
}
