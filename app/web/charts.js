// Draws what is measured: bars, the reliability diagram, the coverage curve, and graphs in layers.
import { count, element, percent, svg } from "./elements.js";

/** Bars with a name before and a number behind: items are { name, part } with parts from 0 to 1, or null. */
export function bars(items, { even = false } = {}) {
  return element("ol", { class: even ? "bars even" : "bars" }, items.map(({ name, part }) => {
    const bar = element("i");
    bar.style.setProperty("--part", part ?? 0);
    return element("li", {}, element("span", {}, name), element("span", { class: "track" }, part === null ? null : bar),
      element("span", { class: "value" }, part === null ? "none" : percent(part)));
  }));
}

const [LEFT, RIGHT, TOP, BOTTOM] = [58, 368, 12, 258];

/** The frame of a chart: axes in percent from a lowest value to 100, with their names. */
function chart(label, { across, up, lowest = 0, mostLeft = 0 }, ...marks) {
  const x = (part) => LEFT + ((RIGHT - LEFT) * (part - mostLeft)) / (1 - mostLeft);
  const y = (part) => BOTTOM - ((BOTTOM - TOP) * (part - lowest)) / (1 - lowest);
  const ticks = (least) => [0, 1, 2, 3, 4].map((step) => least + (step * (1 - least)) / 4);
  const digits = [0, 1, 2].find((n) => ticks(lowest).every((part) => Math.abs(100 * part - (100 * part).toFixed(n)) < 1e-6)) ?? 2;
  return element("figure", { class: "chart" }, svg("svg", { viewBox: "0 0 384 304", role: "img", "aria-label": label },
    ticks(lowest).map((part) => [
      svg("line", { class: "axis", x1: LEFT, x2: RIGHT, y1: y(part), y2: y(part) }),
      svg("text", { x: LEFT - 7, y: y(part) + 4, "text-anchor": "end" }, (100 * part).toFixed(digits)),
    ]),
    ticks(mostLeft).map((part) => svg("text", { x: x(part), y: BOTTOM + 18, "text-anchor": "middle" }, (100 * part).toFixed(0))),
    svg("text", { x: (LEFT + RIGHT) / 2, y: BOTTOM + 40, "text-anchor": "middle" }, across),
    svg("text", { transform: `translate(12 ${(TOP + BOTTOM) / 2}) rotate(-90)`, "text-anchor": "middle" }, up),
    marks.map((mark) => mark(x, y))));
}

/** Scores against how often they were right: on the diagonal a score is a promise that is kept. */
export function reliability(bins) {
  const ideal = (x, y) => svg("line", { class: "ideal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) });
  const blocks = (x, y) => bins.map((bin) => svg("rect", {
    class: "block", x: x(bin.lower) + 1, width: Math.max(1, x(bin.upper) - x(bin.lower) - 2), y: y(bin.accuracy), height: BOTTOM - y(bin.accuracy),
  }, svg("title", {}, `score ${percent(bin.score)}, right ${percent(bin.accuracy)}, ${count(bin.n)} pictures`)));
  const dots = (x, y) => bins.map((bin) => svg("circle", { class: "dot", cx: x(bin.score), cy: y(bin.accuracy), r: 4 }));
  return [
    chart("Reliability diagram; its numbers are in the table below", { across: "score, %", up: "right, %" }, blocks, ideal, dots),
    numbers(["score", "right", "pictures"], bins.map((bin) => [percent(bin.score), percent(bin.accuracy), count(bin.n)])),
  ];
}

/** The accuracy of the most confident share of the pictures, against that share. */
export function coverage(points, accepted) {
  const least = Math.min(...points.map((point) => point.accuracy));
  const lowest = Math.max(0, Math.min(0.95, Math.floor(20 * (least - 0.005)) / 20));
  const curve = (x, y) => svg("polyline", { class: "line", points: points.map((point) => `${x(point.coverage)},${y(point.accuracy)}`).join(" ") });
  const dots = (x, y) => points.filter((_, index) => index % 2 === 1 || index === points.length - 1)
    .map((point) => svg("circle", { class: "dot", cx: x(point.coverage), cy: y(point.accuracy), r: 4 }));
  const [anchor, away] = accepted < 0.5 ? ["start", 6] : ["end", -6]; // towards the middle, where there is room
  const kept = (x) => accepted === null || accepted === undefined ? [] : [
    svg("line", { class: "ideal", x1: x(accepted), x2: x(accepted), y1: TOP, y2: BOTTOM }),
    svg("text", { x: x(accepted) + away, y: BOTTOM - 10, "text-anchor": anchor }, `answered: ${percent(accepted)}`),
  ];
  return [
    chart("Coverage curve; its numbers are in the table below", { across: "share of pictures answered, %", up: "right, %", lowest }, kept, curve, dots),
    numbers(["answered", "right", "least score"], points.map((point) => [percent(point.coverage, 0), percent(point.accuracy), percent(point.score)])),
  ];
}

function numbers(names, rows) {
  return element("details", {}, element("summary", {}, "The numbers"), element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "The numbers" },
    element("table", { class: "plain-table" },
      element("thead", {}, element("tr", {}, names.map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, rows.map((row) => element("tr", {}, row.map((cell) => element("td", {}, cell))))))));
}

// On these tones numbers have a contrast of 4.6 or more; from 0.47 to 0.79 no colour has 4.5 in light and dark alike.
const toneOfRight = (share) => (share < 0.5 ? 0.2 + 0.46 * share : 0.62 + 0.38 * share);

/** True classes down, predicted ones across; what is right in one colour, what is wrong in the other. */
export function confusion(labels, matrix) {
  const names = Math.min(9, 0.6 + 0.6 * Math.max(...labels.map((label) => label.length)));
  const corner = element("td");
  corner.style.width = `${names}rem`;
  const head = element("tr", {}, corner, labels.map((label) => element("th", { scope: "col" }, element("span", {}, label))));
  const rows = matrix.map((row, actual) => {
    const all = row.reduce((sum, n) => sum + n, 0) || 1;
    const most = Math.max(1, ...matrix.flatMap((other, at) => other.filter((_, column) => column !== at)));
    return element("tr", {}, element("th", { scope: "row", title: labels[actual] }, labels[actual]), row.map((n, predicted) => {
      const isRight = actual === predicted;
      const kinds = [isRight && "right", isRight && n / all >= 0.5 && "strong", !n && "none"].filter(Boolean);
      const cell = element("td", { class: kinds.join(" ") || null, title: `${labels[actual]} taken for ${labels[predicted]}: ${count(n)}` }, String(n));
      cell.style.setProperty("--part", isRight ? toneOfRight(n / all) : (0.42 * n) / most);
      return cell;
    }));
  });
  const table = element("table", { class: "confusion" }, element("caption", { class: "off-screen" }, "Rows: what it is. Columns: what it was taken for."),
    element("thead", {}, head), element("tbody", {}, rows));
  const digits = String(Math.max(...matrix.flat())).length;
  table.style.minWidth = `calc(${names}rem + ${labels.length} * (${Math.max(2.2, 0.3 + 0.65 * digits)}em + 2px))`;
  return element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "What is taken for what" }, table);
}

const [NODE_HEIGHT, LAYER, GAP, LETTER] = [30, 58, 18, 7.9];

/** Draw a directed graph without circles, each node below all that lead to it; long edges go around the layers between. */
export function graph({ nodes, edges }, label) {
  const layerOf = layersOf(nodes, edges);
  const layers = [];
  const put = (item, layer) => (layers[layer] ??= []).push(item) && item;
  const widthOf = (node) => (node.label ? 24 + LETTER * node.label.length : 8);
  const items = new Map(nodes.map((node) => [node.id, put({ ...node, width: widthOf(node), above: [] }, layerOf.get(node.id))]));
  const ways = edges.map(({ from, to }) => {
    const way = [items.get(from)];
    for (let layer = layerOf.get(from) + 1; layer < layerOf.get(to); layer += 1) way.push(put({ width: 8, above: [] }, layer));
    way.push(items.get(to));
    way.slice(1).forEach((item, index) => item.above.push(way[index]));
    return way;
  });
  const layerWidth = (layer) => layer.reduce((sum, item) => sum + item.width + GAP, -GAP);
  const width = Math.max(...layers.map(layerWidth)) + 4;
  layers.forEach((layer, depth) => {
    const pull = ({ above }) => (above.length ? above.reduce((sum, item) => sum + item.x, 0) / above.length : width / 2);
    layer.sort((one, other) => pull(one) - pull(other));
    let x = (width - layerWidth(layer)) / 2;
    for (const item of layer) {
      Object.assign(item, { x: x + item.width / 2, y: 2 + LAYER * depth });
      x += item.width + GAP;
    }
  });
  const height = LAYER * (layers.length - 1) + NODE_HEIGHT + 4;
  const lines = ways.map((way) => {
    const end = way.at(-1);
    const bends = way.slice(1).map((item, index) => {
      const [start, top] = [way[index], way[index].y + NODE_HEIGHT];
      const [bottom, half] = [item === end ? item.y - 5 : item.y, (item.y - top) / 2];
      return `C${start.x} ${top + half} ${item.x} ${bottom - half} ${item.x} ${bottom}${item === end ? "" : `V${item.y + NODE_HEIGHT}`}`;
    });
    return [svg("path", { class: "edge", d: `M${way[0].x} ${way[0].y + NODE_HEIGHT}${bends.join("")}` }),
      svg("path", { class: "tip", d: `M${end.x - 4} ${end.y - 7}h8l-4 7z` })];
  });
  const boxes = [...items.values()].map(({ x, y, width: wide, kind, label: text }) => [
    svg("rect", { class: `node ${kind}`, x: x - wide / 2, y, width: wide, height: NODE_HEIGHT, rx: kind === "leaf" ? 15 : 6 }),
    svg("text", { x, y: y + 20, "text-anchor": "middle", "font-size": 13 }, text),
  ]);
  return element("figure", { class: "graph" },
    element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": label },
      svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${label} of ${nodes.length} nodes` }, lines, boxes)),
    element("details", {}, element("summary", {}, "The graph in words"),
      element("ul", {}, edges.map(({ from, to }) => element("li", { class: "mono" }, `${items.get(from).label} → ${items.get(to).label}`)))));
}

/** The longest way to each node from any that nothing leads to. */
function layersOf(nodes, edges) {
  const layers = new Map(nodes.map(({ id }) => [id, 0]));
  for (let round = 0; round < nodes.length; round += 1) {
    let isSettled = true;
    for (const { from, to } of edges) {
      if (layers.get(to) <= layers.get(from)) {
        layers.set(to, layers.get(from) + 1);
        isSettled = false;
      }
    }
    if (isSettled) break;
  }
  return layers;
}
