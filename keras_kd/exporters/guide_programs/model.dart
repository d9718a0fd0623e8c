import 'dart:math';
import 'dart:typed_data';

import 'package:tflite_flutter/tflite_flutter.dart';

const height = @HEIGHT@, width = @WIDTH@, channels = @CHANNELS@;
const scale = <double>[@SCALE@], offset = <double>[@OFFSET@];  //@float
const order = [@ORDER@];  //@colour

/// Pixels in memory: rows are [row] bytes apart, pixels [step] bytes, and red, green and blue lie so
/// many bytes after a pixel's start. Of the package camera: on Android plane 0 of YUV420 with its
/// bytesPerRow and step 1, which is gray; on iOS BGRA8888 with step 4 and 2, 1, 0.
class Picture {
  const Picture(this.bytes, this.columns, this.rows, this.row, this.step,
      [this.red = 0, this.green = 0, this.blue = 0]);
  final Uint8List bytes;
  final int columns, rows, row, step, red, green, blue;

  double at(double x, double y, int channel) {
    final right = (x - 0.5).clamp(0.0, columns - 1.0), down = (y - 0.5).clamp(0.0, rows - 1.0);
    final left = right.floor(), top = down.floor();
    final a = right - left, b = down - top;
    int byte(int u, int v) => bytes[min(v, rows - 1) * row + min(u, columns - 1) * step + channel];
    return (1 - b) * ((1 - a) * byte(left, top) + a * byte(left + 1, top)) +
        b * ((1 - a) * byte(left, top + 1) + a * byte(left + 1, top + 1));
  }
}

/// Cuts out a rectangle around (x, y), turned clockwise by [tilt] radians, in the model's size:
/// bilinear, smoothed where it shrinks. Beyond the picture its border is repeated.
@ARRAY@ crop(Picture from, double x, double y, double wide, double high, [double tilt = 0]) {
  final across = max(1, (wide / width).ceil()), down = max(1, (high / height).ceil());
  final along = cos(tilt), aside = sin(tilt);
  final image = @ARRAY@(height * width * channels);
  for (var i = 0; i < height * width; i++) {
    var red = 0.0, green = 0.0, blue = 0.0, total = 0.0;
    for (var v = 1 - down; v < down; v++) {
      for (var u = 1 - across; u < across; u++) {
        final weight = (1 - u.abs() / across) * (1 - v.abs() / down);
        final a = ((i % width + 0.5 + u / across) / width - 0.5) * wide;
        final b = ((i ~/ width + 0.5 + v / down) / height - 0.5) * high;
        final right = x + a * along - b * aside, below = y + a * aside + b * along;
        red += weight * from.at(right, below, from.red);
        green += weight * from.at(right, below, from.green);
        blue += weight * from.at(right, below, from.blue);
        total += weight;
      }
    }
    final gray = (19595 * red + 38470 * green + 7471 * blue) / 65536 / total;  //@gray
    image[i] = (gray + 0.5).floor();  //@gray bytes
    image[i] = offset[0] + scale[0] * gray;  //@gray float
    final colours = [red / total, green / total, blue / total];  //@colour
    for (var c = 0; c < 3; c++) {  //@colour
      image[3 * i + c] = (colours[order[c]] + 0.5).floor();  //@colour bytes
      image[3 * i + c] = offset[c] + scale[c] * colours[order[c]];  //@colour float
    }  //@colour
  }
  return image;
}

/// As [crop], for a face by its box from the brows to the chin, as the training images were cut.  //@face
/// Tilt is atan2(y of the left eye - y of the right, x of the left - x of the right).  //@face
@ARRAY@ cropFace(Picture from, double x, double y, double wide, double high, [double tilt = 0]) {  //@face
  final side = @SIDE@ * max(wide, high), rise = @RISE@ * high;  //@face
  return crop(  //@face
      from, x + wide / 2 + rise * sin(tilt), y + high / 2 - rise * cos(tilt), side, side, tilt);  //@face
}  //@face

/// @NAME@, on the CPU. Call [close] when it is no longer needed.
// Open a new Model for each image: this class can't be reset, and goes on from the image before.  //@state
class Model {
  Model._(this._interpreter);
  final Interpreter _interpreter;
  static const labels = <String>[@LABELS@];
  static const expected = <List<double>>[@EXPECTED@];

  static Future<Model> open({int threads = 2}) async {
    final options = InterpreterOptions()..threads = threads;
    return Model._(await Interpreter.fromAsset(@ASSET@, options: options));
  }

  /// Computes the outputs, in the file's order: @OUTPUT_NAMES@.
  List<List<double>> run(@ARRAY@ image) {
    final outputs = <int, Object>{@LISTS@};
    _interpreter.runForMultipleInputs([image.reshape([1, height, width, channels])], outputs);
    return [for (final rows in outputs.values) ((rows as List).first as List).cast<double>()];
  }

  /// Whether this device gives what the guide says, for the worked input.
  bool check() {
    final image = @ARRAY@(height * width * channels);
    for (var i = 0; i < image.length; i++) {
      final byte = @BYTE@ % 256;
      image[i] = byte;  //@bytes
      image[i] = offset[i % channels] + scale[i % channels] * byte;  //@float
    }
    final found = run(image);
    return [for (var o = 0; o < found.length; o++) for (var i = 0; i < found[o].length; i++)
      (found[o][i] - expected[o][i]).abs() <= @TOLERANCE@
    ].every((near) => near);
  }

  void close() => _interpreter.close();
}
