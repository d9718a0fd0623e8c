// BlazeFace in the browser, step by step as keras_kd.sessions._blazeface and _detectors do it.
import { cut, resize, round } from "./pixels.js";

/** The square to cut for a box, `side` boxes wide; see keras_kd.sessions._faces.square. */
export function square(box, side, { side: usual, rise, rise_per_side: more }) {
  const size = Math.max(1, round(side * Math.max(box.width, box.height)));
  const up = rise + more * (side - usual);
  return {
    left: round(box.x + box.width / 2 - size / 2),
    top: round(box.y + box.height / 2 - up * box.height - size / 2),
    size,
  };
}

/** Centres of the anchors, x and y in 0..1. */
export function anchors(grids) {
  return grids.flatMap(([cells, count]) =>
    Array.from({ length: cells * cells * count }, (_, at) => {
      const cell = Math.floor(at / count);
      return [((cell % cells) + 0.5) / cells, (Math.floor(cell / cells) + 0.5) / cells];
    }),
  );
}

function overlap(a, b) {
  const width = Math.max(0, Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x));
  const height = Math.max(0, Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y));
  const common = width * height;
  return common / Math.max(a.width * a.height + b.width * b.height - common, 1e-9);
}

/** Average overlapping boxes, weighted by score; the surest first. */
function blended(boxes, sameFace) {
  let left = [...boxes].sort((a, b) => b.score - a.score);
  const faces = [];
  while (left.length) {
    const [best] = left;
    const group = left.filter((box) => box === best || overlap(best, box) > sameFace);
    const total = group.reduce((sum, box) => sum + box.score, 0);
    const mean = (key) => group.reduce((sum, box) => sum + (box[key] * box.score) / total, 0);
    const [centerX, centerY, width, height] = ["centerX", "centerY", "width", "height"].map(mean);
    faces.push({ x: centerX - width / 2, y: centerY - height / 2, width, height, score: best.score });
    left = left.filter((box) => !group.includes(box));
  }
  return faces;
}

/** One of MediaPipe's detectors; `run` takes float32 pixels and gives the outputs' arrays. */
class BlazeFace {
  constructor(run, variant, sameFace) {
    Object.assign(this, { run, variant, sameFace, anchors: anchors(variant.grids) });
  }

  async find(picture, lowest) {
    const { size, scale: factor, drop } = this.variant;
    const scale = size / Math.max(picture.width, picture.height);
    const height = Math.max(1, round(picture.height * scale));
    const width = Math.max(1, round(picture.width * scale));
    const left = Math.floor((size - width) / 2);
    const top = Math.floor((size - height) / 2);
    const small = resize(picture, width, height);
    const pixels = new Float32Array(size * size * 3).fill(-1);
    for (let row = 0; row < height; row++) {
      for (let at = 0; at < width * 3; at++) {
        pixels[((top + row) * size + left) * 3 + at] = small.data[row * width * 3 + at] / 127.5 - 1;
      }
    }
    const outputs = await this.run(pixels, [1, size, size, 3]);
    const scores = outputs.find((values) => values.length === this.anchors.length);
    const places = outputs.find((values) => values.length === 16 * this.anchors.length);
    const boxes = [];
    this.anchors.forEach(([x, y], at) => {
      const score = 1 / (1 + Math.exp(-scores[at]));
      if (score < lowest) return;
      boxes.push({
        centerX: (places[16 * at] + x * size - left) / scale,
        centerY: (places[16 * at + 1] + y * size - top) / scale,
        width: places[16 * at + 2] / scale,
        height: places[16 * at + 3] / scale,
        score,
      });
    });
    const adjusted = boxes.map((box) => ({ ...box, x: box.centerX - box.width / 2, y: box.centerY - box.height / 2 }));
    return blended(adjusted, this.sameFace).map((face) => {
      const centerX = face.x + face.width / 2;
      const centerY = face.y + face.height / 2 + drop * face.width;
      const [wide, high] = [face.width * factor, face.height * factor];
      return { x: centerX - wide / 2, y: centerY - high / 2, width: wide, height: high, score: face.score };
    });
  }
}

/** The full-range model; the short-range one looks again at doubtful hits, and finds faces that fill the picture. */
export class Detector {
  constructor(runFull, runShort, settings) {
    this.settings = settings;
    this.far = new BlazeFace(runFull, settings.variants.full, settings.same_face);
    this.near = new BlazeFace(runShort, settings.variants.short, settings.same_face);
  }

  async find(picture) {
    const { score, sure, checked, geometry } = this.settings;
    const found = await this.far.find(picture, score);
    if (!found.length) return (await this.near.find(picture, score)).filter((face) => face.score >= sure);
    const kept = [];
    for (const face of found) {
      if (face.score >= sure) kept.push(face);
      else {
        const [closer] = await this.near.find(cut(picture, square(face, 2, geometry)), score);
        if (closer && closer.score >= checked) kept.push(face);
      }
    }
    return kept;
  }
}
