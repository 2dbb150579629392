#include "preprocessing.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <utility>

#include "json_reader.h"

namespace qatflow {
namespace {

constexpr int kLargestSize = 1000000;  // an axis of the input
constexpr int kLargestShort = 4096;

using Values = std::map<std::string, JsonValue>;

const JsonValue& Find(const Values& values, const char* key) {
  const auto found = values.find(key);
  if (found == values.end()) throw PreprocessingError(std::string("'") + key + "' is missing");
  return found->second;
}

bool IsWholeNumber(double value, int largest) { return value >= 1 && value <= largest && value == std::floor(value); }

[[noreturn]] void NoWholeNumber(const char* key, int largest, const char* or_else) {
  throw PreprocessingError(std::string("'") + key + "' is not a whole number from 1 to " + std::to_string(largest) +
                           or_else);
}

int WholeNumber(const Values& values, const char* key, int largest) {
  const JsonValue& value = Find(values, key);
  if (value.is_text || value.is_list || !IsWholeNumber(value.numbers[0], largest)) NoWholeNumber(key, largest, "");
  return static_cast<int>(value.numbers[0]);
}

// One number for a square, or a list of height and width.
void ReadSize(const Values& values, Preprocessing* result) {
  const JsonValue& value = Find(values, "size");
  const std::size_t wanted = value.is_list ? 2 : 1;
  if (value.is_text || value.numbers.size() != wanted || !IsWholeNumber(value.numbers.front(), kLargestSize) ||
      !IsWholeNumber(value.numbers.back(), kLargestSize)) {
    NoWholeNumber("size", kLargestSize, ", nor a list of height and width");
  }
  result->height = static_cast<int>(value.numbers.front());
  result->width = static_cast<int>(value.numbers.back());
}

// One value per channel; a single one applies to all.
std::vector<float> PerChannel(const Values& values, const char* key, int channels) {
  const JsonValue& value = Find(values, key);
  const std::size_t wanted = static_cast<std::size_t>(channels);
  if (value.is_text || !value.is_list || (value.numbers.size() != 1 && value.numbers.size() != wanted)) {
    throw PreprocessingError(std::string("'") + key + "' is not a list of 1 or " + std::to_string(channels) +
                             " numbers");
  }
  std::vector<float> result(wanted);
  for (std::size_t i = 0; i < wanted; ++i) {
    result[i] = static_cast<float>(value.numbers[value.numbers.size() == 1 ? 0 : i]);
    if (!std::isfinite(result[i])) throw PreprocessingError(std::string("'") + key + "' is not finite");
  }
  return result;
}

// The source pixels of one side of the input.
struct Interpolation {
  std::vector<std::size_t> lower;
  std::vector<std::size_t> upper;
  std::vector<float> weight;  // of the upper one
};

// Of a side resized from `source` to `target` pixels, `count` from `start` on.
Interpolation Interpolate(int source, long long target, long long start, int count) {
  Interpolation result;
  const float ratio = static_cast<float>(source) / static_cast<float>(target);
  for (long long i = start; i < start + count; ++i) {
    const float centre = (static_cast<float>(i) + 0.5F) * ratio - 0.5F;
    const float floor = std::floor(centre);
    result.lower.push_back(static_cast<std::size_t>(std::max(floor, 0.0F)));
    result.upper.push_back(static_cast<std::size_t>(std::min(std::ceil(centre), static_cast<float>(source - 1))));
    result.weight.push_back(centre - floor);
  }
  return result;
}

// The middle `size` pixels of a side that is resized by the factor `times` / `over`.
Interpolation Middle(int source, long long times, long long over, int size) {
  const long long resized = (2LL * source * times + over) / (2 * over);  // rounded, half up
  return Interpolate(source, resized, (resized - size) / 2, size);
}

// Bilinear with half-pixel centres and no antialiasing.
std::vector<float> Resample(const Picture& picture, const Interpolation& down, const Interpolation& across) {
  const std::size_t channels = static_cast<std::size_t>(picture.channels);
  const std::size_t row_size = static_cast<std::size_t>(picture.width) * channels;
  const std::size_t height = down.weight.size();
  const std::size_t width = across.weight.size();
  std::vector<float> result(height * width * channels);
  float* target = result.data();
  for (std::size_t row = 0; row < height; ++row) {
    const std::uint8_t* above = picture.pixels.data() + down.lower[row] * row_size;
    const std::uint8_t* below = picture.pixels.data() + down.upper[row] * row_size;
    for (std::size_t column = 0; column < width; ++column) {
      const std::size_t left = across.lower[column] * channels;
      const std::size_t right = across.upper[column] * channels;
      for (std::size_t channel = 0; channel < channels; ++channel) {
        const auto along_row = [&](const std::uint8_t* pixels) {
          const float start = pixels[left + channel];
          return start + (static_cast<float>(pixels[right + channel]) - start) * across.weight[column];
        };
        const float top = along_row(above);
        *target++ = top + (along_row(below) - top) * down.weight[row];
      }
    }
  }
  return result;
}

// Centred on black; an odd row or column goes to the bottom or right.
std::vector<float> Pad(const Picture& picture, int height, int width) {
  if (picture.height > height || picture.width > width) {
    throw PictureSizeError(std::to_string(picture.width) + "×" + std::to_string(picture.height) +
                       " pixels cannot be padded to " + std::to_string(width) + "×" + std::to_string(height));
  }
  const std::size_t top = static_cast<std::size_t>((height - picture.height) / 2);
  const std::size_t left = static_cast<std::size_t>((width - picture.width) / 2);
  const std::size_t channels = static_cast<std::size_t>(picture.channels);
  const std::size_t row_size = static_cast<std::size_t>(picture.width) * channels;
  const std::size_t across = static_cast<std::size_t>(width);
  std::vector<float> result(static_cast<std::size_t>(height) * across * channels);
  for (std::size_t row = 0; row < static_cast<std::size_t>(picture.height); ++row) {
    std::copy_n(picture.pixels.begin() + static_cast<std::ptrdiff_t>(row * row_size), row_size,
                result.begin() + static_cast<std::ptrdiff_t>(((top + row) * across + left) * channels));
  }
  return result;
}

std::vector<float> Resize(const Preprocessing& preprocessing, const Picture& picture) {
  const int height = preprocessing.height;
  const int width = preprocessing.width;
  switch (preprocessing.resize) {
    case Preprocessing::Resize::kPad:
      return Pad(picture, height, width);
    case Preprocessing::Resize::kStretch:
      return Resample(picture, Interpolate(picture.height, height, 0, height),
                      Interpolate(picture.width, width, 0, width));
    case Preprocessing::Resize::kCrop:
    case Preprocessing::Resize::kNone:
      break;
  }
  // The scale that just covers the input and its margin in both directions, as a fraction.
  const long long shorter = std::min(height, width);
  const bool by_height = 1LL * height * picture.width >= 1LL * width * picture.height;
  const long long times = 1LL * preprocessing.resize_short * (by_height ? height : width);
  const long long over = shorter * (by_height ? picture.height : picture.width);
  return Resample(picture, Middle(picture.height, times, over, height), Middle(picture.width, times, over, width));
}

// Reads the keys that only `crop` has.
void ReadResize(const Values& values, Preprocessing* result) {
  const std::string& resize = Find(values, "resize").text;
  const bool short_side = values.count("resize_short") != 0;
  if (resize == "crop") {
    result->resize = Preprocessing::Resize::kCrop;
    result->resize_short = WholeNumber(values, "resize_short", kLargestShort);
    if (result->resize_short < std::min(result->height, result->width)) {
      throw PreprocessingError("'resize_short' is less than the shorter side of 'size'");
    }
    return;
  }
  if (short_side) throw PreprocessingError("'resize_short' is only for the resize \"crop\"");
  if (resize == "stretch") {
    result->resize = Preprocessing::Resize::kStretch;
  } else if (resize == "none") {
    result->resize = Preprocessing::Resize::kNone;
  } else if (resize != "pad") {
    throw PreprocessingError("'resize' is not \"pad\", \"stretch\", \"crop\" or \"none\"");
  }
}

// Whether the channels are blue, green, red; the default is red, green, blue.
bool ReadOrder(const Values& values, int channels) {
  if (values.count("order") == 0) return false;
  const std::string& order = Find(values, "order").text;
  if (order != "rgb" && order != "bgr") throw PreprocessingError("'order' is not \"rgb\" or \"bgr\"");
  if (order == "bgr" && channels != 3) throw PreprocessingError("'order' is \"bgr\", but 'channels' is not 3");
  return order == "bgr";
}

void Normalise(const Preprocessing& preprocessing, std::vector<float>* values) {
  const std::size_t channels = preprocessing.mean.size();
  for (std::size_t i = 0; i < values->size(); ++i) {
    (*values)[i] = ((*values)[i] - preprocessing.mean[i % channels]) * preprocessing.scale[i % channels];
  }
}

}  // namespace

Preprocessing ReadPreprocessing(const std::string& json) {
  try {
    const Values values = ReadFlatJson(json);
    if (values.size() != 5 + values.count("resize_short") + values.count("order")) {
      throw PreprocessingError("the keys must be size, resize, channels, mean and std; optional: resize_short, order");
    }
    Preprocessing result;
    ReadSize(values, &result);
    result.channels = WholeNumber(values, "channels", kLargestSize);
    ReadResize(values, &result);
    const bool grey_or_rgb = result.channels == 1 || result.channels == 3;
    if (!grey_or_rgb && result.resize != Preprocessing::Resize::kNone) {
      throw PreprocessingError("'channels' is not 1 or 3");
    }
    result.bgr = ReadOrder(values, result.channels);
    result.mean = PerChannel(values, "mean", result.channels);
    result.scale = PerChannel(values, "std", result.channels);
    for (float& value : result.scale) {
      if (value <= 0) throw PreprocessingError("'std' is not above 0");
      value = 1.0F / value;
    }
    return result;
  } catch (const JsonError& error) {
    throw PreprocessingError(error.what());
  }
}

std::vector<float> Preprocess(const Preprocessing& preprocessing, const Picture& picture) {
  std::vector<float> values = Resize(preprocessing, picture);
  if (preprocessing.bgr) {
    for (std::size_t i = 0; i < values.size(); i += 3) std::swap(values[i], values[i + 2]);
  }
  Normalise(preprocessing, &values);
  return values;
}

void PreprocessArray(const Preprocessing& preprocessing, std::vector<float>* values) {
  const bool finite = std::all_of(values->begin(), values->end(), [](float value) { return std::isfinite(value); });
  if (!finite) throw ArrayError("a value is NaN or infinite");
  Normalise(preprocessing, values);
}

}  // namespace qatflow
