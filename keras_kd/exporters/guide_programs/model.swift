import CoreVideo
import Foundation
import TensorFlowLite

/// Pixels in memory: rows are `row` bytes apart, pixels `step` bytes, and red, green and blue lie so
/// many bytes after a pixel's start.
struct Picture {
  let bytes: UnsafePointer<UInt8>
  let width, height, row, step, red, green, blue: Int

  func at(_ x: Double, _ y: Double, _ channel: Int) -> Double {
    let right = min(max(x - 0.5, 0), Double(width - 1))
    let down = min(max(y - 0.5, 0), Double(height - 1))
    let left = Int(right), top = Int(down)
    let a = right - Double(left), b = down - Double(top)
    func byte(_ u: Int, _ v: Int) -> Double {
      Double(bytes[min(v, height - 1) * row + min(u, width - 1) * step + channel])
    }
    return (1 - b) * ((1 - a) * byte(left, top) + a * byte(left + 1, top))
      + b * ((1 - a) * byte(left, top + 1) + a * byte(left + 1, top + 1))
  }
}

/// Calls `body` with the pixels of a camera's buffer: BGRA, or the Y plane of 420v and 420f, which
/// is gray.
func withPicture<Result>(
  of buffer: CVPixelBuffer, _ body: (Picture) throws -> Result
) throws -> Result {
  guard CVPixelBufferLockBaseAddress(buffer, .readOnly) == kCVReturnSuccess else {
    throw ModelError.pixels
  }
  defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
  let width = CVPixelBufferGetWidth(buffer), height = CVPixelBufferGetHeight(buffer)
  if CVPixelBufferGetPixelFormatType(buffer) == kCVPixelFormatType_32BGRA,
    let base = CVPixelBufferGetBaseAddress(buffer)
  {
    return try body(
      Picture(
        bytes: base.assumingMemoryBound(to: UInt8.self), width: width, height: height,
        row: CVPixelBufferGetBytesPerRow(buffer), step: 4, red: 2, green: 1, blue: 0))
  }
  guard CVPixelBufferIsPlanar(buffer), CHANNELS == 1,
    let base = CVPixelBufferGetBaseAddressOfPlane(buffer, 0)
  else { throw ModelError.pixels }  // Ask the camera for kCVPixelFormatType_32BGRA.
  return try body(
    Picture(
      bytes: base.assumingMemoryBound(to: UInt8.self), width: width, height: height,
      row: CVPixelBufferGetBytesPerRowOfPlane(buffer, 0), step: 1, red: 0, green: 0, blue: 0))
}

let HEIGHT = @HEIGHT@, WIDTH = @WIDTH@, CHANNELS = @CHANNELS@
private let scale: [Double] = [@SCALE@], offset: [Double] = [@OFFSET@]  //@float
private let order = [@ORDER@]  //@colour

/// Cuts out a rectangle around (x, y), turned clockwise by `tilt` radians, in the model's size:
/// bilinear, smoothed where it shrinks. Beyond the picture its border is repeated.
func crop(
  _ from: Picture, x: Double, y: Double, width: Double, height: Double, tilt: Double = 0
) -> [@ARRAY@] {
  let across = max(1, Int((width / Double(WIDTH)).rounded(.up)))
  let down = max(1, Int((height / Double(HEIGHT)).rounded(.up)))
  let along = cos(tilt), aside = sin(tilt)
  var image = [@ARRAY@](repeating: 0, count: HEIGHT * WIDTH * CHANNELS)
  for i in 0..<HEIGHT * WIDTH {
    var red = 0.0, green = 0.0, blue = 0.0, total = 0.0
    for v in (1 - down)..<down {
      for u in (1 - across)..<across {
        let toRight = Double(u) / Double(across), below = Double(v) / Double(down)
        let weight = (1 - abs(toRight)) * (1 - abs(below))
        let a = ((Double(i % WIDTH) + 0.5 + toRight) / Double(WIDTH) - 0.5) * width
        let b = ((Double(i / WIDTH) + 0.5 + below) / Double(HEIGHT) - 0.5) * height
        let right = x + a * along - b * aside, lower = y + a * aside + b * along
        red += weight * from.at(right, lower, from.red)
        green += weight * from.at(right, lower, from.green)
        blue += weight * from.at(right, lower, from.blue)
        total += weight
      }
    }
    let gray = (19595 * red + 38470 * green + 7471 * blue) / 65536 / total  //@gray
    image[i] = UInt8(gray + 0.5)  //@gray bytes
    image[i] = Float32(offset[0] + scale[0] * gray)  //@gray float
    let colours = [red / total, green / total, blue / total]  //@colour
    for c in 0..<3 { image[3 * i + c] = UInt8(colours[order[c]] + 0.5) }  //@colour bytes
    for c in 0..<3 { image[3 * i + c] = Float32(offset[c] + scale[c] * colours[order[c]]) }  //@colour float
  }
  return image
}

/// As `crop`, for a face by its box from the brows to the chin, as the training images were cut.  //@face
/// Tilt is atan2(y of the left eye - y of the right, x of the left - x of the right).  //@face
func cropFace(  //@face
  _ from: Picture, x: Double, y: Double, width: Double, height: Double, tilt: Double = 0  //@face
) -> [@ARRAY@] {  //@face
  let side = @SIDE@ * max(width, height), rise = @RISE@ * height  //@face
  return crop(  //@face
    from, x: x + width / 2 + rise * sin(tilt), y: y + height / 2 - rise * cos(tilt),  //@face
    width: side, height: side, tilt: tilt)  //@face
}  //@face

enum ModelError: Error { case missing, otherModel, pixels }

/// @NAME@, on the CPU. Use it from one queue; it is closed when nothing refers to it any more.
// Make a new Model for each image: this class can't be reset, and goes on from the image before.  //@state
final class Model {
  static let labels: [String] = [@LABELS@]
  static let expected: [[Float32]] = [@EXPECTED@]
  private let interpreter: Interpreter

  init(threads: Int = 2, bundle: Bundle = .main) throws {
    guard let path = bundle.path(forResource: @STEM@, ofType: "tflite") else {
      throw ModelError.missing
    }
    var options = Interpreter.Options()
    options.threadCount = threads
    interpreter = try Interpreter(modelPath: path, options: options)
    try interpreter.allocateTensors()
    guard try interpreter.input(at: 0).shape.dimensions == [1, HEIGHT, WIDTH, CHANNELS] else {
      throw ModelError.otherModel
    }
  }

  /// Computes the outputs, in the file's order: @OUTPUT_NAMES@.
  func run(_ image: [@ARRAY@]) throws -> [[Float32]] {
    try interpreter.copy(image.withUnsafeBufferPointer { Data(buffer: $0) }, toInputAt: 0)
    try interpreter.invoke()
    return try (0..<interpreter.outputTensorCount).map { number in
      let output = try interpreter.output(at: number)
      return output.data.withUnsafeBytes { Array($0.bindMemory(to: Float32.self)) }
    }
  }

  /// Whether this device gives what the guide says, for the worked input.
  func check() throws -> Bool {
    let image = (0..<HEIGHT * WIDTH * CHANNELS).map { i -> @ARRAY@ in
      let byte = @BYTE@ % 256
      return UInt8(byte)  //@bytes
      return Float32(offset[i % CHANNELS] + scale[i % CHANNELS] * Double(byte))  //@float
    }
    return try zip(run(image), Model.expected).allSatisfy { found, expected in
      zip(found, expected).allSatisfy { abs($0 - $1) <= @TOLERANCE@ }
    }
  }
}
