// The model card, drawn from what GET /model says.
import { bars, confusion, coverage, reliability } from "./charts.js";
import { byId, count, element, percent } from "./elements.js";
import { get, refusal } from "./service.js";

const MOST_CLASSES = 24; // a larger matrix has cells too small to read

get("model").then((model) => {
  byId("name").textContent = `Model card: ${model.name}`;
  byId("status").remove();
  byId("card").replaceChildren(figures(model), ...[
    [perClass(model), confused(model)],
    [reliable(model), covered(model)],
    [made(model), eats(model)],
  ].map((pair) => element("div", { class: "halves" }, pair)));
}, (problem) => byId("status").replaceWith(refusal(problem)));

const section = (title, ...content) => element("section", { class: "sheet" }, element("h2", {}, title), content);
const quiet = (text) => element("p", { class: "quiet" }, text);
const terms = (pairs) => element("dl", { class: "terms" }, pairs.filter(([, value]) => value !== null && value !== undefined)
  .map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));

function figures({ metrics, labels }) {
  const six = metrics.accuracy.six_views;
  const shown = [
    ["right, as it answers here", percent(metrics.accuracy.single_view, 2)],
    ["right, averaging six views", six === undefined ? null : percent(six, 2)],
    ["answered rather than “not sure”", metrics.accepted === null ? null : percent(metrics.accepted)],
    ["right among those", metrics.accuracy_of_accepted === null ? null : percent(metrics.accuracy_of_accepted, 2)],
    [labels.length === 1 ? "class" : "classes", count(labels.length)],
    [`pictures measured on (${metrics.split})`, count(metrics.n)],
  ].filter(([, value]) => value !== null);
  return element("dl", { class: "figures" }, shown.map(([name, value]) => element("div", { class: "sheet" }, element("dt", {}, name), element("dd", {}, value))));
}

function perClass({ labels, metrics }) {
  const wrong = mistakes(labels, metrics.confusion_matrix, labels.length > MOST_CLASSES ? 0 : 4);
  return section("Class by class", quiet("How many of the pictures of each class are recognised."),
    bars(labels.map((name) => ({ name, part: metrics.per_class[name] ?? null })), { even: true }),
    wrong ? [element("h3", { class: "lower" }, "The commonest mistakes"), wrong] : null);
}

function confused({ labels, metrics }) {
  const title = "What is taken for what";
  if (labels.length > MOST_CLASSES) {
    return section(title, quiet("The commonest mistakes of all."), mistakes(labels, metrics.confusion_matrix, 20));
  }
  return section(title, quiet("Rows are what a picture shows, columns what it was taken for; each number counts pictures."), confusion(labels, metrics.confusion_matrix));
}

function mistakes(labels, matrix, most) {
  const wrong = matrix.flatMap((row, actual) => row.map((n, predicted) => ({ n, actual, predicted })))
    .filter(({ n, actual, predicted }) => n && actual !== predicted).sort((one, other) => other.n - one.n).slice(0, most);
  return wrong.length ? terms(wrong.map(({ n, actual, predicted }) => [n === 1 ? "once" : `${count(n)} times`, `${labels[actual]} taken for ${labels[predicted]}`])) : null;
}

function reliable({ metrics, calibration }) {
  const error = `On average a score is ${(100 * metrics.expected_calibration_error).toFixed(1)} points away from the truth (expected calibration error).`;
  const drawn = metrics.reliability_bins?.length
    ? [quiet("Of the pictures with a score of 80 %, 80 % should be right: then the dots lie on the diagonal."), reliability(metrics.reliability_bins)]
    : [quiet("This checkpoint was measured before the diagram was part of it. Train it again to have it.")];
  return section("Can its scores be trusted?", quiet(error), drawn.flat(), calibrationTerms(calibration));
}

function calibrationTerms({ temperature, floor, abstain_threshold: score, distance_threshold: distance, held_out: held }) {
  return terms([
    ["Temperature", temperature.toFixed(3)],
    ["Floor", floor === 0 ? null : floor.toFixed(3)],
    ["Not sure below", score === null ? "never: it has no such rule" : `a best score of ${percent(score)}`],
    ["Not sure beyond", distance === null ? null : `a distance of ${distance.toFixed(1)} from all classes`],
    ["Fitted on", held ? `${count(held.n)} pictures held out; ${percent(held.accepted)} of them are answered` : "nothing: the scores are as the network gives them"],
  ]);
}

function covered({ metrics }) {
  const title = "What if it only answers when it is sure?";
  if (!metrics.coverage?.length) return section(title, quiet("This checkpoint was measured before the curve was part of it."));
  return section(title, quiet("The pictures in order of their scores: the fewer of them it answers, the larger a share of its answers should be right."),
    coverage(metrics.coverage, metrics.accepted));
}

function made({ training, created_at: created, digest, architecture }) {
  const configuration = JSON.stringify(training.configuration, null, 2);
  const minutes = training.seconds < 90 ? `${training.seconds.toFixed(0)} s` : `${(training.seconds / 60).toFixed(0)} minutes`;
  return section("How it was made", terms([
    ["Recipe", training.recipe],
    ["Network", architecture.name],
    ["Rounded", architecture.arguments?.input_ranges ? "to whole numbers of eight bits" : null],
    ["Trained", `${created.slice(0, 10)}, in ${minutes}`],
    ["Hardware", training.hardware],
    ["Seed", String(training.seed)],
    ["Commit", training.commit],
    ["PyTorch", training.torch],
    ["Data", element("code", {}, training.data_fingerprint)],
    ["File", element("code", {}, digest)],
  ]), element("details", {}, element("summary", {}, "The whole configuration"), element("pre", { tabindex: 0, role: "group", "aria-label": "Configuration" }, configuration)));
}

function eats({ input, labels }) {
  const rule = input.resize === "shorter_side_center_crop" ? "the largest centred part of that shape, made smaller" : input.resize;
  const numbers = (values) => values.map((value) => value.toFixed(4)).join(", ");
  return section("What it sees, and what it knows", terms([
    ["Input", `${input.width} × ${input.height} pixels, red, green and blue`],
    ["Cut", `${rule} (${input.interpolation})`],
    ["Mean", numbers(input.mean)],
    ["Deviation", numbers(input.std)],
  ]), element("ul", { class: "chips", "aria-label": "Labels" }, labels.map((label) => element("li", {}, label))));
}
