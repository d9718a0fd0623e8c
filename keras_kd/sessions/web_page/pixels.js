// Pixels as keras_kd's images.py treats them: Pillow's bilinear filter and luma, in integers, to the last bit.
// A picture is {data, width, height, channels}, rows from the top, one number a channel.

const BITS = 2 ** 22;
// Places between pixels are told in steps of 1/256.
const STEPS = 256;

/** Round a half to the even neighbour, as Python does. */
export function round(value) {
  const low = Math.floor(value);
  const rest = value - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
}

/** Take RGB out of a canvas' ImageData. */
export function picture(imageData) {
  const { data, width, height } = imageData;
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    rgb[to] = data[from];
    rgb[to + 1] = data[from + 1];
    rgb[to + 2] = data[from + 2];
  }
  return { data: rgb, width, height, channels: 3 };
}

/** Which pixels make each of `target` ones, and with what weight in units of 2^-22. */
export function taps(size, target) {
  const scale = size / target;
  const support = Math.max(scale, 1);
  return Array.from({ length: target }, (_, place) => {
    const center = (place + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const last = Math.min(Math.trunc(center + support + 0.5), size);
    const weights = [];
    for (let at = first; at < last; at++) weights.push(Math.max(1 - Math.abs(at + 0.5 - center) / support, 0));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => Math.floor((weight / sum) * BITS + 0.5)) };
  });
}

/** Resize: first along the rows, then along the columns. */
export function resize(source, width, height) {
  return along(along(source, width, true), height, false);
}

function along(source, target, rows) {
  const size = rows ? source.width : source.height;
  if (size === target) return source;
  const { channels } = source;
  const width = rows ? target : source.width;
  const height = rows ? source.height : target;
  const data = new Uint8Array(width * height * channels);
  const step = rows ? channels : source.width * channels;
  taps(size, target).forEach(({ first, weights }, place) => {
    const others = rows ? height : width * channels;
    for (let other = 0; other < others; other++) {
      const from = rows ? other * source.width * channels : other;
      const to = rows ? other * width * channels + place * channels : place * width * channels + other;
      for (let channel = 0; channel < (rows ? channels : 1); channel++) {
        let sum = BITS / 2;
        for (let tap = 0; tap < weights.length; tap++) {
          sum += source.data[from + (first + tap) * step + channel] * weights[tap];
        }
        data[to + channel] = Math.floor(sum / BITS);
      }
    }
  });
  return { data, width, height, channels };
}

/** RGB to gray by ITU-R 601, or as it is. */
export function withChannels(source, channels) {
  if (channels === source.channels) return source;
  const data = new Uint8Array(source.width * source.height);
  for (let to = 0, from = 0; to < data.length; to++, from += 3) {
    data[to] = (19595 * source.data[from] + 38470 * source.data[from + 1] + 7471 * source.data[from + 2] + 0x8000) >> 16;
  }
  return { data, width: source.width, height: source.height, channels };
}

/** Cut a face's square out upright, at most `most` pixels wide where it is tilted; see keras_kd.sessions._faces.crop. */
export function cut(source, { left, top, size, roll }, most) {
  if (!roll) return straight(source, left, top, size);
  const pixels = Math.min(size, most);
  const factor = Math.max(1, Math.floor(size / most));
  if (factor === 1) return turned(source, left, top, size, roll, pixels);
  const [x, y] = [left - Math.floor(size / 2), top - Math.floor(size / 2)];
  const small = averaged(straight(source, x, y, Math.floor((2 * size) / factor) * factor), factor);
  return turned(small, (left - x) / factor, (top - y) / factor, size / factor, roll, pixels);
}

/** A square as it lies; beyond the picture its border is repeated. */
function straight(source, left, top, size) {
  const data = new Uint8Array(size * size * 3);
  for (let y = 0, to = 0; y < size; y++) {
    const row = clipped(top + y, source.height) * source.width;
    for (let x = 0; x < size; x++, to += 3) {
      const from = (row + clipped(left + x, source.width)) * 3;
      data.set(source.data.subarray(from, from + 3), to);
    }
  }
  return { data, width: size, height: size, channels: 3 };
}

/** Each `factor` by `factor` pixels as one. */
function averaged(source, factor) {
  const size = source.width / factor;
  const sums = new Uint32Array(size * size * 3);
  for (let y = 0, from = 0; y < source.height; y++) {
    const row = Math.floor(y / factor) * size;
    for (let x = 0; x < source.width; x++) {
      const to = (row + Math.floor(x / factor)) * 3;
      for (let channel = 0; channel < 3; channel++) sums[to + channel] += source.data[from++];
    }
  }
  const count = factor * factor;
  const data = Uint8Array.from(sums, (sum) => Math.floor((sum + Math.floor(count / 2)) / count));
  return { data, width: size, height: size, channels: 3 };
}

/** Cut a square that is turned by `roll` degrees about its middle, `pixels` wide. */
export function turned(source, left, top, size, roll, pixels) {
  const [along, across] = [Math.cos((roll * Math.PI) / 180), Math.sin((roll * Math.PI) / 180)];
  const data = new Uint8Array(pixels * pixels * 3);
  const middle = size / 2 - 0.5;
  const step = (at) => (at + 0.5) * (size / pixels) - size / 2;
  for (let y = 0, to = 0; y < pixels; y++) {
    for (let x = 0; x < pixels; x++, to += 3) {
      const fromX = left + middle + along * step(x) - across * step(y);
      const fromY = top + middle + across * step(x) + along * step(y);
      mix(source, Math.floor(fromX * STEPS + 0.5), Math.floor(fromY * STEPS + 0.5), data, to);
    }
  }
  return { data, width: pixels, height: pixels, channels: 3 };
}

const clipped = (place, length) => Math.min(Math.max(place, 0), length - 1);

/** One pixel at a place in steps of 1/STEPS, mixed of the four around it. */
function mix({ data, width, height }, x, y, target, to) {
  const [column, row] = [Math.floor(x / STEPS), Math.floor(y / STEPS)];
  const [right, below] = [x - column * STEPS, y - row * STEPS];
  const columns = [clipped(column, width), clipped(column + 1, width)];
  const rows = [clipped(row, height), clipped(row + 1, height)];
  for (let channel = 0; channel < 3; channel++) {
    const [upper, lower] = rows.map(
      (at) =>
        data[(at * width + columns[0]) * 3 + channel] * (STEPS - right) +
        data[(at * width + columns[1]) * 3 + channel] * right,
    );
    target[to + channel] = Math.floor((upper * (STEPS - below) + lower * below + (STEPS * STEPS) / 2) / (STEPS * STEPS));
  }
}
