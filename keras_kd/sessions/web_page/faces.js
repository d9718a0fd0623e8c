// BlazeFace in the browser, step by step as keras_kd.sessions._blazeface and _detectors do it.
import { resize, round, turned } from "./pixels.js";

const radians = (degrees) => (degrees * Math.PI) / 180;

/** The square to cut for a box, `side` boxes wide and turned by `roll`; see keras_kd.sessions._faces.square. */
export function square(box, side, { side: usual, rise, rise_per_side: more }) {
  const size = Math.max(1, round(side * Math.max(box.width, box.height)));
  const up = (rise + more * (side - usual)) * box.height;
  const roll = box.roll ?? 0;
  return {
    left: round(box.x + box.width / 2 + Math.sin(radians(roll)) * up - size / 2),
    top: round(box.y + box.height / 2 - Math.cos(radians(roll)) * up - size / 2),
    size,
    roll,
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
    const [rightX, rightY, leftX, leftY] = ["rightX", "rightY", "leftX", "leftY"].map(mean);
    const roll = (Math.atan2(leftY - rightY, leftX - rightX) * 180) / Math.PI;
    faces.push({ x: centerX - width / 2, y: centerY - height / 2, width, height, roll, score: best.score });
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
      const across = (number) => (places[16 * at + number] + x * size - left) / scale;
      const down = (number) => (places[16 * at + number] + y * size - top) / scale;
      boxes.push({
        centerX: across(0),
        centerY: down(1),
        width: places[16 * at + 2] / scale,
        height: places[16 * at + 3] / scale,
        // The person's right eye, then the left.
        rightX: across(4),
        rightY: down(5),
        leftX: across(6),
        leftY: down(7),
        score,
      });
    });
    const adjusted = boxes.map((box) => ({ ...box, x: box.centerX - box.width / 2, y: box.centerY - box.height / 2 }));
    return blended(adjusted, this.sameFace).map((face) => {
      const centerX = face.x + face.width / 2;
      const centerY = face.y + face.height / 2 + drop * face.width;
      const [wide, high] = [face.width * factor, face.height * factor];
      return { x: centerX - wide / 2, y: centerY - high / 2, width: wide, height: high, roll: face.roll, score: face.score };
    });
  }
}

/** Both models, and a closer look at each hit, upright; see keras_kd.sessions._detectors. */
export class Detector {
  constructor(runFull, runShort, settings) {
    this.settings = settings;
    this.far = new BlazeFace(runFull, settings.variants.full, settings.same_face);
    this.near = new BlazeFace(runShort, settings.variants.short, settings.same_face);
  }

  async find(picture) {
    const { score, sure, checked } = this.settings;
    let found = await this.far.find(picture, score);
    if (!found.length) found = await this.near.find(picture, sure);
    const kept = [];
    for (const face of found) {
      const seen = await this.again(picture, face);
      if (seen.score >= sure || seen.second >= checked) kept.push(seen);
    }
    return kept;
  }

  async again(picture, face) {
    const { closer, look, lowest } = this.settings;
    const size = Math.max(1, round(closer * Math.max(face.width, face.height)));
    const left = round(face.x + face.width / 2 - size / 2);
    const top = round(face.y + face.height / 2 - size / 2);
    const hits = await this.near.find(turned(picture, left, top, size, face.roll, look), lowest);
    const aside = (hit) => [hit.x + (hit.width - look) / 2, hit.y + (hit.height - look) / 2];
    const hit = hits.find((one) => Math.hypot(...aside(one)) < look / 4);
    if (!hit) return { ...face, second: 0 };
    const scale = size / look;
    const [right, down] = aside(hit).map((offset) => scale * offset);
    const [along, across] = [Math.cos(radians(face.roll)), Math.sin(radians(face.roll))];
    const [width, height] = [scale * hit.width, scale * hit.height];
    const x = left + size / 2 + along * right - across * down - width / 2;
    const y = top + size / 2 + across * right + along * down - height / 2;
    return { x, y, width, height, roll: face.roll + hit.roll, score: face.score, second: hit.score };
  }
}
