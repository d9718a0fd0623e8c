// The page: pictures, a video file or the camera in; bars, a timeline and the latency out. Nothing leaves the device.
import { Tensor, loadAndCompile, loadLiteRt } from "./litert/index.js";
import { Detector, square } from "./faces.js";
import { cut, picture, resize, withChannels } from "./pixels.js";

const element = (id) => document.getElementById(id);
const SECONDS = 60;

/** Compile a file and return a function: pixels and their shape in, the outputs' values by name out. */
async function compiled(path) {
  const model = await loadAndCompile(path, { accelerator: "wasm" });
  const [{ name }] = model.getInputDetails();
  return async (pixels, shape) => {
    const input = new Tensor(pixels, shape);
    const outputs = await model.run({ [name]: input });
    const values = {};
    for (const [key, tensor] of Object.entries(outputs)) values[key] = Array.from(await tensor.data());
    for (const tensor of [input, ...Object.values(outputs)]) tensor.delete();
    return values;
  };
}

function softmax(logits) {
  const highest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - highest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** Finds and reads the faces of a picture. */
class Reader {
  constructor(settings, run, detector) {
    Object.assign(this, { settings, run, detector });
  }

  async read(image) {
    const started = performance.now();
    const faces = await this.detector.find(image);
    const found = performance.now();
    for (const face of faces) Object.assign(face, await this.readFace(image, face));
    return { faces, detection: found - started, reading: performance.now() - found };
  }

  async readFace(image, face) {
    const { input, value_range: [low, high], side, class_names: names, detector, widths, binary } = this.settings;
    const [height, width, channels] = input.shape;
    const crop = cut(image, square(face, side, detector.geometry), detector.pixels);
    const { data } = resize(withChannels(crop, channels), width, height);
    const scaled = input.dtype === "uint8" ? data : Float32Array.from(data, (value) => low + ((high - low) / 255) * value);
    const outputs = await this.run(scaled, [1, height, width, channels]);
    const values = {};
    let probabilities = {};
    for (const [name, columns] of Object.entries(widths)) {
      if (columns === 1 && name !== binary) [values[name]] = outputs[name];
      else {
        const shares = this.shares(outputs[name]);
        probabilities = Object.fromEntries(names.map((label, number) => [label, shares[number]]));
      }
    }
    return { probabilities, values };
  }

  /** The classes' probabilities; one number is that of the second of two classes. */
  shares(row) {
    const sure = this.settings.output === "probabilities";
    if (row.length > 1) return sure ? row : softmax(row);
    return sure ? [1 - row[0], row[0]] : softmax([0, row[0]]);
  }
}

async function load() {
  const settings = await (await fetch("model.json")).json();
  await loadLiteRt("litert/wasm/");
  const run = await compiled("model.tflite");
  const [full, short] = await Promise.all(["full", "short"].map((name) => compiled(`detector_${name}.tflite`)));
  const arrays = (own) => async (pixels, shape) => Object.values(await own(pixels, shape));
  return new Reader(settings, run, new Detector(arrays(full), arrays(short), settings.detector));
}

/** A class' colour with its lines, as pages of sessions have them: a canvas of 8x8 pixels. */
function tile(colour, lines) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 8;
  const context = canvas.getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, 8, 8);
  Object.assign(context, { strokeStyle: "#ffffffbf", lineWidth: 1.3, lineCap: "round" });
  context.stroke(new Path2D(lines));
  return canvas;
}

/** What the page shows. */
class View {
  constructor(settings) {
    this.settings = settings;
    this.names = [...settings.class_names];
    this.history = [];
    this.latencies = [];
    this.tiles = Object.fromEntries(this.names.map((name) => [name, tile(settings.colours[name], settings.patterns[name])]));
    this.rows = this.names.map((name) => this.bar(name));
  }

  bar(name) {
    const row = document.createElement("li");
    const [label, track, fill, value] = ["span", "span", "i", "b"].map((tag) => document.createElement(tag));
    label.textContent = name;
    track.className = "track";
    fill.style.background = `url(${this.tiles[name].toDataURL()})`;
    track.append(fill);
    row.append(label, track, value);
    element("bars").append(row);
    return { fill, value };
  }

  show(image, source, { faces, detection, reading }, time) {
    const canvas = element("view");
    canvas.hidden = false;
    canvas.width = image.width;
    canvas.height = image.height;
    const context = canvas.getContext("2d");
    context.drawImage(source, 0, 0, image.width, image.height);
    context.lineWidth = Math.max(2, image.width / 200);
    for (const face of faces) this.mark(context, face);
    const [largest] = [...faces].sort((a, b) => b.width - a.width);
    this.rows.forEach(({ fill, value }, number) => {
      const share = largest ? largest.probabilities[this.names[number]] : 0;
      fill.style.width = `${100 * share}%`;
      value.textContent = largest ? `${Math.round(100 * share)} %` : "–";
    });
    this.latencies.push(detection + reading);
    if (this.latencies.length > 30) this.latencies.shift();
    const median = [...this.latencies].sort((a, b) => a - b)[Math.floor(this.latencies.length / 2)];
    element("latency").textContent = `${median.toFixed(1)} ms a picture: faces ${detection.toFixed(1)}, reading ${reading.toFixed(1)}`;
    element("label").textContent = largest ? this.label(largest) : "no face";
    const others = faces.filter((face) => face !== largest).map((face) => this.label(face));
    element("others").textContent = others.length ? `Others: ${others.join("; ")}` : "";
    if (time !== undefined) this.timeline(time, largest);
  }

  /** The box and the label, dark on yellow at every size. */
  mark(context, face) {
    const { width } = context.canvas;
    const size = Math.max(12, width / 40);
    context.strokeStyle = "#ffc400";
    context.lineWidth = Math.max(2, width / 200);
    context.strokeRect(face.x, face.y, face.width, face.height);
    context.font = `${size}px system-ui, sans-serif`;
    const text = this.label(face);
    const wide = context.measureText(text).width + size / 2;
    const [left, top] = [Math.max(0, Math.min(face.x, width - wide)), Math.max(0, face.y - 1.4 * size)];
    context.fillStyle = "#ffc400";
    context.fillRect(left, top, wide, 1.4 * size);
    context.fillStyle = "#000";
    context.fillText(text, left + size / 4, top + size);
  }

  /** Forget what the last source showed. */
  clear() {
    this.history = [];
    this.latencies = [];
    for (const id of ["view", "timeline"]) element(id).hidden = true;
    for (const id of ["label", "others", "latency"]) element(id).textContent = "";
    this.rows.forEach(({ fill, value }) => {
      fill.style.width = "0";
      value.textContent = "";
    });
  }

  label({ probabilities, values, second }) {
    if (second < this.settings.detector.readable) return "not seen well enough";
    const [name, share] = Object.entries(probabilities).reduce((best, next) => (next[1] > best[1] ? next : best), ["", 0]);
    const said = share < this.settings.confidence && name ? "uncertain" : name;
    return [said, ...Object.entries(values).map(([key, value]) => `${key} ${value.toFixed(2)}`)].join(" · ");
  }

  timeline(time, face) {
    this.history.push({ time, shares: face && this.names.map((name) => face.probabilities[name]) });
    this.history = this.history.filter((row) => row.time > time - SECONDS && row.time <= time);
    const canvas = element("timeline");
    canvas.hidden = false;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    const fills = this.names.map((name) => context.createPattern(this.tiles[name], "repeat"));
    this.history.forEach((row, at) => {
      const x = ((row.time - time) / SECONDS + 1) * canvas.width;
      const next = this.history[at + 1]?.time ?? time + 0.1;
      const width = Math.max(1, ((Math.min(next, row.time + 1) - row.time) / SECONDS) * canvas.width);
      let top = canvas.height;
      (row.shares ?? []).forEach((share, number) => {
        context.fillStyle = fills[number];
        context.fillRect(x, top - share * canvas.height, width + 0.5, share * canvas.height);
        top -= share * canvas.height;
      });
    });
  }
}

const scratch = document.createElement("canvas");

function pixelsOf(source, width, height) {
  scratch.width = width;
  scratch.height = height;
  const context = scratch.getContext("2d", { willReadFrequently: true });
  // What is transparent is white, as in Python.
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0);
  return picture(context.getImageData(0, 0, width, height));
}

/** Read pictures; one that can't be read stops no other. */
async function readPictures(reader, view, files) {
  const results = [];
  for (const file of files) {
    const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
    const bitmap = await createImageBitmap(file, options).catch(() => null);
    if (!bitmap) {
      results.push({ file: file.name, error: `${file.name} can't be read as a picture: choose a JPEG, PNG or WebP.` });
      continue;
    }
    const image = pixelsOf(bitmap, bitmap.width, bitmap.height);
    const result = await reader.read(image);
    view.show(image, scratch, result);
    results.push({ file: file.name, ...result });
  }
  if (results.every(({ error }) => error)) throw new Error(results[0].error);
  return results;
}

/** Read frame after frame until the video ends or another source is chosen; the last results, and how many went. */
async function readVideo(reader, view, video, chosen) {
  const results = [];
  let gone = 0;
  let last = -1;
  while (chosen() && !video.ended) {
    if (video.error) throw new Error("The video can't be played any further: it may be damaged.");
    // A frame that was read already says nothing new.
    if (video.readyState >= 2 && !video.paused && video.currentTime !== last) {
      last = video.currentTime;
      const image = pixelsOf(video, video.videoWidth, video.videoHeight);
      const time = video.currentTime;
      const result = await reader.read(image);
      view.show(image, scratch, result, time);
      results.push({ time, ...result });
      if (results.length > reader.settings.kept) {
        results.shift();
        gone++;
      }
    }
    await new Promise(requestAnimationFrame);
  }
  return [results, gone];
}

async function main() {
  const say = (text) => (element("status").textContent = text);
  const video = element("video");
  let turn = 0;
  try {
    const reader = await load();
    const view = new View(reader.settings);
    const publish = (results, gone = 0) => {
      const text = JSON.stringify(results);
      // For tests: the same numbers as on the page.
      element("results").textContent = text;
      URL.revokeObjectURL(element("download").href);
      element("download").href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
      element("download").hidden = false;
      const errors = results.flatMap(({ error }) => error ?? []);
      const more = errors.length > 3 ? [`${errors.length - 3} more can't be read.`] : [];
      const lost = gone ? [`The results hold the last ${results.length} of ${results.length + gone} pictures.`] : [];
      const notes = [...lost, ...errors.slice(0, 3), ...more];
      say([`Done: ${results.length - errors.length}${notes.length ? "." : ""}`, ...notes].join(" "));
    };
    const play = async (own) => {
      await video.play().catch((error) => {
        throw error.name === "NotSupportedError" ? new Error("This video can't be played here: save it as H.264 in mp4.") : error;
      });
      say("Reading");
      publish(...(await readVideo(reader, view, video, () => own === turn)));
    };
    /** Run one source to its end, or to a sentence that says why not. */
    const read = async (own, work) => {
      view.clear();
      element("download").hidden = true;
      say("Reading");
      try {
        await work();
      } catch (error) {
        if (own !== turn) return;
        view.clear();
        say(error.message);
      }
    };
    const release = () => {
      video.srcObject?.getTracks().forEach((track) => track.stop());
      video.srcObject = null;
    };
    element("file").addEventListener("change", async ({ target }) => {
      const own = ++turn;
      const files = [...target.files];
      // The same file can be chosen again.
      target.value = "";
      if (!files.length) return;
      release();
      await read(own, async () => {
        if (!files[0].type.startsWith("video/")) return publish(await readPictures(reader, view, files));
        URL.revokeObjectURL(video.src);
        video.src = URL.createObjectURL(files[0]);
        await play(own);
      });
    });
    element("camera").addEventListener("click", async () => {
      const own = ++turn;
      release();
      const refused = ({ name }) => {
        throw new Error(`The camera can't be used (${name}): allow it, and open this page by https or on localhost.`);
      };
      await read(own, async () => {
        const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" };
        if (!navigator.mediaDevices) refused({ name: "insecure page" });
        const stream = await navigator.mediaDevices.getUserMedia({ video: wanted }).catch(refused);
        if (own !== turn) return stream.getTracks().forEach((track) => track.stop());
        video.srcObject = stream;
        await play(own);
      });
    });
    element("stop").addEventListener("click", () => {
      turn++;
      video.pause();
      release();
    });
    for (const id of ["file", "camera", "stop"]) element(id).disabled = false;
    say("Ready");
  } catch (error) {
    say(`This page can't start: ${error.message}`);
    throw error;
  }
}

main();
