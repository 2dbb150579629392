// From a decoded picture to the network's input, as qatflow.data.preprocess defines it for the training: the same
// operations in float32 in the same order, so that the tensors have the same bits (compile with -ffp-contract=off).
//
//   const qatflow::Preprocessing preprocessing = qatflow::ReadPreprocessing(text_of_preprocessing_json);
//   const qatflow::Picture picture = qatflow::DecodePicture(content, preprocessing.channels);
//   const std::vector<float> input = qatflow::Preprocess(preprocessing, picture);
#ifndef QATFLOW_PREPROCESSING_H_
#define QATFLOW_PREPROCESSING_H_

#include <stdexcept>
#include <string>
#include <vector>

#include "picture.h"

namespace qatflow {

struct Preprocessing {
  enum class Resize {
    kPad,      // centred on black
    kStretch,  // both sides are resized to the input's (bilinear)
    kCrop,     // resized until it covers the input with a margin (bilinear), then the middle is cut out
    kNone,     // for arrays, which are no pictures: their values are only normalised
  };
  int height = 0;  // of the input, in pixels
  int width = 0;
  Resize resize = Resize::kPad;
  int resize_short = 0;  // of kCrop: shorter side of the input with its margin, in pixels
  int channels = 0;      // 1 or 3; of arrays any number
  bool bgr = false;      // order of the channels, also in mean and scale
  std::vector<float> mean;   // one per channel, in units of 0 to 255, or of the arrays
  std::vector<float> scale;  // one per channel: 1 / std
};

// preprocessing.json is incomplete or wrong.
class PreprocessingError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// An array has a value that is NaN or infinite.
class ArrayError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The picture is larger than the input of `pad`.
class PictureSizeError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws PreprocessingError.
Preprocessing ReadPreprocessing(const std::string& json);

// Returns float32 [height, width, channels] of the input. Throws PictureSizeError.
std::vector<float> Preprocess(const Preprocessing& preprocessing, const Picture& picture);

// Normalises the values of an array, [height, width, channels] of the input. Throws ArrayError.
void PreprocessArray(const Preprocessing& preprocessing, std::vector<float>* values);

}  // namespace qatflow

#endif  // QATFLOW_PREPROCESSING_H_
