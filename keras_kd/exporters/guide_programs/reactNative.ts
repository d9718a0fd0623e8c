import { type ModelSource, type TfliteModel, loadTensorflowModel } from "react-native-fast-tflite";
import { type Image, matches, workedInput } from "./crop.js";

/** @NAME@ in React Native, on the CPU. `source` is `require("./assets/…")` of the file. */
// Open a new Model for each image: this class can't be reset, and goes on from the image before.  //@state
export class Model {
  private constructor(private readonly model: TfliteModel) {}

  static async open(source: ModelSource): Promise<Model> {
    return new Model(await loadTensorflowModel(source, []));
  }

  /** Computes the outputs, in the file's order: @OUTPUT_NAMES@. */
  async run(image: Image): Promise<Float32Array[]> {
    const end = image.byteOffset + image.byteLength;
    const bytes = image.buffer.slice(image.byteOffset, end) as ArrayBuffer;
    return (await this.model.run([bytes])).map((output) => new Float32Array(output));
  }

  /** Whether this device gives what the guide says, for the worked input. */
  async check(): Promise<boolean> {
    return matches(await this.run(workedInput()));
  }

  close(): void {
    this.model.dispose();
  }
}
