export const HEIGHT = @HEIGHT@, WIDTH = @WIDTH@, CHANNELS = @CHANNELS@;
export const LABELS: readonly string[] = [@LABELS@];
export const EXPECTED: readonly (readonly number[])[] = [@EXPECTED@];
const SCALE: readonly number[] = [@SCALE@], OFFSET: readonly number[] = [@OFFSET@];  //@float
const ORDER: readonly number[] = [@ORDER@];  //@colour

/** Pixels in memory: rows are `row` bytes apart, pixels `step` bytes, and red, green and blue lie so
 * many bytes after a pixel's start. */
export interface Picture {
  bytes: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  row: number;
  step: number;
  red: number;
  green: number;
  blue: number;
}

export type Rectangle = { x: number; y: number; width: number; height: number };

function sample(from: Picture, x: number, y: number, channel: number): number {
  const right = Math.min(Math.max(x - 0.5, 0), from.width - 1);
  const down = Math.min(Math.max(y - 0.5, 0), from.height - 1);
  const left = Math.floor(right), top = Math.floor(down);
  const a = right - left, b = down - top;
  const byte = (u: number, v: number): number => {
    const place = Math.min(v, from.height - 1) * from.row + Math.min(u, from.width - 1) * from.step;
    return from.bytes[place + channel] ?? 0;
  };
  return (1 - b) * ((1 - a) * byte(left, top) + a * byte(left + 1, top))
    + b * ((1 - a) * byte(left, top + 1) + a * byte(left + 1, top + 1));
}

/** What the model takes. */
export type Image = ReturnType<typeof crop>;

/** Cuts out a rectangle around (x, y), turned clockwise by `tilt` radians, in the model's size:
 * bilinear, smoothed where it shrinks. Beyond the picture its border is repeated. */
export function crop(from: Picture, { x, y, width, height }: Rectangle, tilt = 0) {
  const across = Math.max(1, Math.ceil(width / WIDTH));
  const down = Math.max(1, Math.ceil(height / HEIGHT));
  const along = Math.cos(tilt), aside = Math.sin(tilt);
  const image = new @ARRAY@(HEIGHT * WIDTH * CHANNELS);
  for (let i = 0; i < HEIGHT * WIDTH; i++) {
    let red = 0, green = 0, blue = 0, total = 0;
    for (let v = 1 - down; v < down; v++) {
      for (let u = 1 - across; u < across; u++) {
        const weight = (1 - Math.abs(u) / across) * (1 - Math.abs(v) / down);
        const a = (((i % WIDTH) + 0.5 + u / across) / WIDTH - 0.5) * width;
        const b = ((Math.floor(i / WIDTH) + 0.5 + v / down) / HEIGHT - 0.5) * height;
        const right = x + a * along - b * aside, below = y + a * aside + b * along;
        red += weight * sample(from, right, below, from.red);
        green += weight * sample(from, right, below, from.green);
        blue += weight * sample(from, right, below, from.blue);
        total += weight;
      }
    }
    const gray = (19595 * red + 38470 * green + 7471 * blue) / 65536 / total;  //@gray
    image[i] = Math.floor(gray + 0.5);  //@gray bytes
    image[i] = OFFSET[0]! + SCALE[0]! * gray;  //@gray float
    const colours = [red / total, green / total, blue / total];  //@colour
    for (let c = 0; c < 3; c++) {  //@colour
      image[3 * i + c] = Math.floor(colours[ORDER[c]!]! + 0.5);  //@colour bytes
      image[3 * i + c] = OFFSET[c]! + SCALE[c]! * colours[ORDER[c]!]!;  //@colour float
    }  //@colour
  }
  return image;
}

/** As `crop`, for a face by its box from the brows to the chin, as the training images were cut.  //@face
 * Tilt is atan2(y of the left eye - y of the right, x of the left - x of the right). */  //@face
export function cropFace(from: Picture, { x, y, width, height }: Rectangle, tilt = 0) {  //@face
  const side = @SIDE@ * Math.max(width, height), rise = @RISE@ * height;  //@face
  const right = x + width / 2 + rise * Math.sin(tilt);  //@face
  const down = y + height / 2 - rise * Math.cos(tilt);  //@face
  return crop(from, { x: right, y: down, width: side, height: side }, tilt);  //@face
}  //@face

/** The worked input, for the app's first test. */
export function workedInput(): Image {
  return @ARRAY@.from({ length: HEIGHT * WIDTH * CHANNELS }, (_, i) => {
    const byte = @BYTE@ % 256;
    return byte;  //@bytes
    return OFFSET[i % CHANNELS]! + SCALE[i % CHANNELS]! * byte;  //@float
  });
}

/** Whether outputs for the worked input are what the guide says. */
export function matches(found: readonly ArrayLike<number>[]): boolean {
  return EXPECTED.every((row, output) =>
    row.every((value, i) => Math.abs((found[output]?.[i] ?? NaN) - value) <= @TOLERANCE@));
}
