import type { Accelerator, CompiledModel } from "@litertjs/core";
import { Tensor, loadAndCompile, loadLiteRt } from "@litertjs/core";
import { CHANNELS, HEIGHT, type Image, type Picture, WIDTH, matches, workedInput } from "./crop.js";

/** @NAME@ in a browser: in WASM, or on the GPU if `gpu` is set and it gives what the guide says. */
// Open a new Model for each image: this class can't be reset, and goes on from the image before.  //@state
export class Model {
  private constructor(
    private readonly model: CompiledModel,
    readonly accelerator: Accelerator,
    readonly reason: string,
  ) {}

  /** `wasm`: where the folder wasm of the package @litertjs/core is served from. */
  static async open(url: string, wasm: string, { gpu = false, threads = 1 } = {}): Promise<Model> {
    await loadLiteRt(wasm, { threads: threads > 1 });
    let reason = "the GPU was not asked for";
    if (gpu) {
      try {
        const model = new Model(await loadAndCompile(url, { accelerator: "webgpu" }), "webgpu", "");
        if (await model.check()) return model;
        model.close();
        reason = "the GPU gives other numbers";
      } catch (error) {
        reason = String(error);
      }
    }
    return new Model(await loadAndCompile(url, { accelerator: "wasm" }), "wasm", reason);
  }

  /** Computes the outputs, in the file's order: @OUTPUT_NAMES@. */
  async run(image: Image): Promise<Float32Array[]> {
    const input = new Tensor(image, [1, HEIGHT, WIDTH, CHANNELS]);
    const outputs = await this.model.run({ [this.model.getInputDetails()[0]!.name]: input });
    input.delete();
    return Promise.all(
      [@OUTPUT_STRINGS@].map(async (name) => {
        const output = outputs[name];
        if (!output) throw new Error(`The file has no output ${name}.`);
        const values = Float32Array.from((await output.data()) as Float32Array);
        output.delete();
        return values;
      }),
    );
  }

  /** Whether this browser gives what the guide says, for the worked input. */
  async check(): Promise<boolean> {
    return matches(await this.run(workedInput()));
  }

  close(): void {
    this.model.delete();
  }
}

/** A video's present frame, or an image, as a picture. */
export function pictureOf(source: CanvasImageSource, width: number, height: number): Picture {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("This browser has no 2D canvas.");
  context.drawImage(source, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  return { bytes: data, width, height, row: 4 * width, step: 4, red: 0, green: 1, blue: 2 };
}
