/* Runs @NAME@ on TensorFlow Lite's C library: cc model.c -ltensorflowlite_c -lm */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tensorflow/lite/c/c_api.h"
#include "tensorflow/lite/c/c_api_experimental.h"  //@state

enum { HEIGHT = @HEIGHT@, WIDTH = @WIDTH@, CHANNELS = @CHANNELS@, SIZE = HEIGHT * WIDTH * CHANNELS };
typedef float Input;  //@float
typedef uint8_t Input;  //@bytes
static const char *const LABELS[] = {@LABELS@};  //@labels
static const float SCALE[] = {@SCALE@}, OFFSET[] = {@OFFSET@};  //@float
static const int ORDER[] = {@ORDER@};  //@colour

/* Pixels in memory: rows are `row` bytes apart, pixels `step` bytes, and red, green and blue lie so
   many bytes after a pixel's start. A camera's Y plane has step 1 and three zeros; BGRA has step 4
   and 2, 1, 0. */
typedef struct {
  const uint8_t *bytes;
  int width, height, row, step, red, green, blue;
} Picture;

typedef struct {
  TfLiteModel *model;
  TfLiteInterpreter *interpreter;
} Model;

typedef struct {
  float @FIELDS@;
} Outputs;

static double sample(const Picture *from, double x, double y, int at) {
  x = fmin(fmax(x - 0.5, 0), from->width - 1);
  y = fmin(fmax(y - 0.5, 0), from->height - 1);
  const int left = (int)x, top = (int)y;
  const int right = left + (left + 1 < from->width), below = top + (top + 1 < from->height);
  const uint8_t *upper = from->bytes + (size_t)top * from->row + at;
  const uint8_t *lower = from->bytes + (size_t)below * from->row + at;
  const double a = x - left, b = y - top;
  return (1 - b) * ((1 - a) * upper[left * from->step] + a * upper[right * from->step]) +
         b * ((1 - a) * lower[left * from->step] + a * lower[right * from->step]);
}

/* Cuts out a rectangle around (x, y), turned clockwise by `tilt` radians, in the model's size:
   bilinear, smoothed where it shrinks. Beyond the picture its border is repeated. */
void crop(const Picture *from, double x, double y, double width, double height, double tilt,
          Input image[SIZE]) {
  const int across = (int)fmax(1, ceil(width / WIDTH)), down = (int)fmax(1, ceil(height / HEIGHT));
  const double along = cos(tilt), aside = sin(tilt);
  for (int i = 0; i < HEIGHT * WIDTH; i++) {
    double red = 0, green = 0, blue = 0, total = 0;
    for (int v = 1 - down; v < down; v++) {
      for (int u = 1 - across; u < across; u++) {
        const double weight = (1 - abs(u) / (double)across) * (1 - abs(v) / (double)down);
        const double a = ((i % WIDTH + 0.5 + (double)u / across) / WIDTH - 0.5) * width;
        const double b = ((i / WIDTH + 0.5 + (double)v / down) / HEIGHT - 0.5) * height;
        const double right = x + a * along - b * aside, below = y + a * aside + b * along;
        red += weight * sample(from, right, below, from->red);
        green += weight * sample(from, right, below, from->green);
        blue += weight * sample(from, right, below, from->blue);
        total += weight;
      }
    }
    const double gray = (19595 * red + 38470 * green + 7471 * blue) / 65536 / total;  //@gray
    image[i] = (Input)(gray + 0.5);  //@gray bytes
    image[i] = (Input)(OFFSET[0] + SCALE[0] * gray);  //@gray float
    const double colours[] = {red / total, green / total, blue / total};  //@colour
    for (int c = 0; c < 3; c++) {  //@colour
      image[3 * i + c] = (Input)(colours[ORDER[c]] + 0.5);  //@colour bytes
      image[3 * i + c] = (Input)(OFFSET[c] + SCALE[c] * colours[ORDER[c]]);  //@colour float
    }  //@colour
  }
}

/* As `crop`, of a face by its box from the brows to the chin, as the training images were cut. //@face
   tilt = atan2(y of the left eye - y of the right, x of the left - x of the right). */  //@face
void crop_face(const Picture *from, double x, double y, double width, double height, double tilt,  //@face
               Input image[SIZE]) {  //@face
  const double side = @SIDE@ * fmax(width, height), rise = @RISE@ * height;  //@face
  crop(from, x + width / 2 + rise * sin(tilt), y + height / 2 - rise * cos(tilt), side, side, tilt,  //@face
       image);  //@face
}  //@face

/* Each of these returns NULL, or what went wrong. Close the model in both cases. */
const char *model_open(Model *model, const char *path, int threads) {
  model->interpreter = NULL;
  model->model = TfLiteModelCreateFromFile(path);
  if (model->model == NULL) return "the file is missing or no model";
  TfLiteInterpreterOptions *options = TfLiteInterpreterOptionsCreate();
  TfLiteInterpreterOptionsSetNumThreads(options, threads);
  model->interpreter = TfLiteInterpreterCreate(model->model, options);
  TfLiteInterpreterOptionsDelete(options);
  if (model->interpreter == NULL) return "this library is too old for the file";
  if (TfLiteInterpreterAllocateTensors(model->interpreter) != kTfLiteOk)
    return "the tensors can't be allocated";
  const TfLiteTensor *input = TfLiteInterpreterGetInputTensor(model->interpreter, 0);
  if (TfLiteTensorByteSize(input) != SIZE * sizeof(Input)) return "the file is another model";
  return NULL;
}

const char *model_run(const Model *model, const Input image[SIZE], Outputs *outputs) {
  TfLiteInterpreter *const interpreter = model->interpreter;
  TfLiteTensor *const input = TfLiteInterpreterGetInputTensor(interpreter, 0);
  if (TfLiteTensorCopyFromBuffer(input, image, SIZE * sizeof(Input)) != kTfLiteOk)
    return "the image can't be copied";
  if (TfLiteInterpreterResetVariableTensors(interpreter) != kTfLiteOk)  //@state
    return "the model can't begin anew";  //@state
  if (TfLiteInterpreterInvoke(interpreter) != kTfLiteOk) return "the model can't be run";
  @READ@
  return NULL;
}

void model_close(Model *model) {
  if (model->interpreter != NULL) TfLiteInterpreterDelete(model->interpreter);
  if (model->model != NULL) TfLiteModelDelete(model->model);
}

/* The app's first test: the worked input. */
int main(int count, char **arguments) {
  static const Outputs expected = {@EXPECTED@};
  static Input image[SIZE];
  for (int i = 0; i < SIZE; i++) {
    const int byte = @BYTE@ % 256;
    image[i] = (Input)byte;  //@bytes
    image[i] = OFFSET[i % CHANNELS] + SCALE[i % CHANNELS] * byte;  //@float
  }
  Model model;
  Outputs outputs;
  const char *problem = model_open(&model, count > 1 ? arguments[1] : @FILE@, 2);
  if (problem == NULL) problem = model_run(&model, image, &outputs);
  model_close(&model);
  if (problem != NULL) {
    fprintf(stderr, "%s: %s\n", @FILE@, problem);
    return 2;
  }
  const float *found = (const float *)&outputs, *wanted = (const float *)&expected;
  int wrong = 0;
  for (size_t i = 0; i < sizeof outputs / sizeof *found; i++) {
    wrong |= !(fabsf(found[i] - wanted[i]) <= @TOLERANCE@f);
    printf("%.5f\n", found[i]);
  }
  printf("%d labels, the first is %s\n", (int)(sizeof LABELS / sizeof *LABELS), LABELS[0]);  //@labels
  if (wrong) fprintf(stderr, "%s: other numbers than the guide's\n", @FILE@);
  return wrong;
}
