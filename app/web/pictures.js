// What is done to pictures here: the part that the network sees, heat over it, and drawings to try.

const WHOLE = { left: 0, top: 0, right: 1, bottom: 1 };

/** The largest centred rectangle of the input's shape, in fractions of the picture: what is not cut away. */
export function windowOf(width, height, input) {
  if (!width || !height || !input) return WHOLE;
  const scale = Math.min(width / input.width, height / input.height);
  const [across, down] = [(scale * input.width) / width, (scale * input.height) / height];
  return { left: (1 - across) / 2, top: (1 - down) / 2, right: (1 + across) / 2, bottom: (1 + down) / 2 };
}

/** Lay an element over a part of its parent. */
export function place(laid, { left, top, right, bottom }) {
  const inPercent = (part) => `${100 * part}%`;
  Object.assign(laid.style, {
    left: inPercent(left), top: inPercent(top), width: inPercent(right - left), height: inPercent(bottom - top),
  });
}

// Dark, clear violet for little, through red, to light yellow for much: readable without colour, by lightness alone.
const HEAT = [[0, 43, 15, 84, 0.2], [0.35, 163, 44, 122, 0.5], [0.7, 240, 101, 58, 0.68], [1, 255, 224, 138, 0.84]];

/** Paint rows of values from 0 to 1, one pixel each; the browser smooths them when it stretches the canvas. */
export function paintHeat(canvas, rows) {
  [canvas.width, canvas.height] = [rows[0].length, rows.length];
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  rows.flat().forEach((value, index) => image.data.set(colourOf(Math.min(1, Math.max(0, value))), 4 * index));
  context.putImageData(image, 0, 0);
}

function colourOf(value) {
  const upper = Math.max(1, HEAT.findIndex(([at]) => at >= value));
  const [low, high] = [HEAT[upper - 1], HEAT[upper]];
  const share = (value - low[0]) / (high[0] - low[0]);
  const [red, green, blue, alpha] = low.slice(1).map((part, index) => part + share * (high[index + 1] - part));
  return [red, green, blue, 255 * alpha];
}

/** Draw one of a few scenes, and return it as a PNG file: something to try when no picture is at hand. */
export function drawing(turn) {
  const [name, paint] = SCENES[turn % SCENES.length];
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [640, 480];
  paint(canvas.getContext("2d"));
  return new Promise((resolve) => {
    canvas.toBlob((blob) => resolve(new File([blob], `${name}.png`, { type: "image/png" })));
  });
}

const SCENES = [["ship", ship], ["plane", plane], ["truck", truck]];

function wash(context, top, bottom, from, to) {
  const fill = context.createLinearGradient(0, from, 0, to);
  fill.addColorStop(0, top);
  fill.addColorStop(1, bottom);
  context.fillStyle = fill;
  context.fillRect(0, from, 640, to - from);
}

function shape(context, colour, points) {
  context.fillStyle = colour;
  context.beginPath();
  points.forEach(([x, y]) => context.lineTo(x, y));
  context.fill();
}

function discs(context, colour, ...all) {
  context.fillStyle = colour;
  all.forEach(([x, y, radius]) => {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  });
}

function ship(context) {
  wash(context, "#9cc4e4", "#dcebf3", 0, 300);
  wash(context, "#2d6288", "#173b58", 290, 480);
  shape(context, "#8b2f2a", [[110, 320], [540, 320], [500, 392], [160, 392]]);
  shape(context, "#24303c", [[96, 286], [556, 286], [540, 326], [110, 326]]);
  shape(context, "#f4f2ec", [[190, 226], [440, 226], [450, 288], [180, 288]]);
  shape(context, "#e3e0d6", [[230, 176], [390, 176], [400, 228], [222, 228]]);
  shape(context, "#c4472f", [[270, 104], [322, 104], [326, 178], [266, 178]]);
  shape(context, "#24303c", [[270, 104], [322, 104], [323, 124], [269, 124]]);
  context.fillStyle = "#33566e";
  for (let x = 204; x < 430; x += 34) context.fillRect(x, 246, 18, 16);
  context.strokeStyle = "#ffffff66";
  context.lineWidth = 5;
  for (let y = 404; y < 480; y += 24) {
    context.beginPath();
    for (let x = 0; x <= 640; x += 8) context.lineTo(x, y + 5 * Math.sin(x / 26 + y));
    context.stroke();
  }
}

function plane(context) {
  wash(context, "#5f9fd8", "#cfe4f4", 0, 480);
  discs(context, "#ffffffb0", [90, 400, 46], [150, 410, 58], [214, 412, 40], [520, 96, 34], [568, 102, 46]);
  shape(context, "#b9c3cd", [[300, 226], [372, 226], [268, 112], [232, 112]]);
  shape(context, "#eef1f4", [[84, 252], [128, 220], [470, 214], [548, 236], [560, 250], [470, 276], [150, 282]]);
  shape(context, "#2f5d9b", [[84, 252], [150, 236], [96, 152], [66, 152]]);
  shape(context, "#9aa6b2", [[276, 266], [368, 264], [250, 384], [208, 384]]);
  shape(context, "#d5dbe1", [[84, 262], [150, 264], [80, 306], [54, 306]]);
  discs(context, "#5c6b7a", ...Array.from({ length: 12 }, (_, index) => [190 + 23 * index, 240, 5]));
  shape(context, "#33414f", [[500, 228], [526, 232], [540, 242], [504, 242]]);
}

function truck(context) {
  wash(context, "#cfdde6", "#eef2f2", 0, 330);
  wash(context, "#77797a", "#565859", 320, 480);
  shape(context, "#f3f3ef", [[60, 110], [410, 110], [410, 350], [60, 350]]);
  shape(context, "#c03a2b", [[420, 190], [520, 190], [566, 268], [576, 350], [420, 350]]);
  shape(context, "#9fc4d8", [[446, 208], [510, 208], [540, 264], [446, 264]]);
  shape(context, "#c03a2b", [[60, 216], [410, 216], [410, 244], [60, 244]]);
  shape(context, "#2c3033", [[50, 346], [588, 346], [588, 372], [50, 372]]);
  discs(context, "#1d2022", [134, 376, 42], [222, 376, 42], [502, 376, 42]);
  discs(context, "#b9bec2", [134, 376, 18], [222, 376, 18], [502, 376, 18]);
}
