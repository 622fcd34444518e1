// Asks the service; whatever goes wrong comes back as a Problem, in the server's own words.
import { element } from "./elements.js";

/** A refusal: its sentence is the message, beside `status`, `code` and `retryAfter` in seconds or null. */
export class Problem extends Error {
  constructor(message, { status = 0, code = "no_answer", retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }

  /** Whether the same picture may be answered a moment later. */
  get isPassing() {
    return [0, 503, 504].includes(this.status) && this.code !== "unreadable";
  }
}

const STRANGE = "What answered is not the service: a proxy or a login page, perhaps. Load this page again.";
const UNREADABLE = "This cannot be read: it is a folder, or the file was moved or changed since it was chosen.";
const SILENT = "The service did not answer. It may have stopped, or the connection is gone; try again in a moment.";

function problemOf(status, text, retryAfter) {
  let told = {};
  try {
    told = JSON.parse(text);
  } catch {
    // Not one of the service's own refusals: a proxy between us speaks like this.
  }
  return new Problem(told?.detail || `The answer was HTTP ${status}, without a sentence.`, {
    status,
    code: told?.code,
    retryAfter: retryAfter === null ? null : Number(retryAfter) || null,
  });
}

/** GET JSON. */
export async function get(path, signal) {
  return read(await (await ask(path, { signal })).text());
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Problem(STRANGE);
  }
}

/** POST a picture, and return the whole response. */
export function post(path, picture, signal) {
  return ask(path, { method: "POST", body: picture, headers: RAW, signal });
}

const RAW = { "Content-Type": "application/octet-stream" }; // what it really is, the service finds out by itself

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (fault) {
    throw fault.name === "AbortError" ? fault : new Problem(SILENT);
  }
  if (!response.ok) throw problemOf(response.status, await response.text(), response.headers.get("Retry-After"));
  return response;
}

/** POST a picture with progress; fetch cannot tell how much of a body has gone. Returns { body, timing }. */
export function upload(path, picture, { signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 1);
    request.onload = () => {
      if (request.status === 200) {
        try {
          resolve({ body: read(request.responseText), timing: timingOf(request.getResponseHeader("Server-Timing")) });
        } catch (problem) {
          reject(problem);
        }
      } else reject(problemOf(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    };
    request.onerror = () => picture.slice(0, 1).arrayBuffer()
      .then(() => reject(new Problem(SILENT)), () => reject(new Problem(UNREADABLE, { code: "unreadable" })));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    request.onloadend = () => signal.removeEventListener("abort", stop);
    if (signal.aborted) return request.onabort();
    signal.addEventListener("abort", stop);
    request.open("POST", path);
    request.setRequestHeader("Content-Type", RAW["Content-Type"]);
    request.send(picture);
  });
}

/** 'decode;dur=1.20, batch;desc=3' → { decode: 1.2, batch: 3 } */
function timingOf(header) {
  return Object.fromEntries(
    (header || "").split(",").map((entry) => {
      const [name, value = ""] = entry.trim().split(";");
      return [name, Number(value.split("=")[1])];
    }),
  );
}

/** Run a request; if the service is busy, tell `onWait` why, and try once more after as many seconds as it says. */
export async function patiently(request, onWait, signal) {
  try {
    return await request();
  } catch (problem) {
    if (problem.status !== 503 || !problem.retryAfter) throw problem;
    onWait(problem);
    await new Promise((resolve, reject) => {
      const stop = () => {
        clearTimeout(timer);
        reject(new DOMException("cancelled", "AbortError"));
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", stop);
        resolve();
      }, 1000 * problem.retryAfter);
      if (signal?.aborted) stop();
      else signal?.addEventListener("abort", stop, { once: true });
    });
    return request();
  }
}

/** What to say beside the sentence of a problem that `patiently` waits for. */
export const onceMore = ({ retryAfter }) => `Trying once more in ${retryAfter === 1 ? "a second" : `${retryAfter} seconds`}.`;

const HINTS = {
  413: "A smaller copy will do: the network looks at a few dozen pixels.",
  503: "It is busy or starting. Nothing is wrong with your picture.",
  504: "It took too long. Try it again in a moment.",
};

/** A refusal as a box of text. */
export function refusal(problem, hint = HINTS[problem.status]) {
  return element("div", { class: "say" }, element("p", {}, problem.message), hint ? element("p", { class: "hint" }, hint) : null);
}
