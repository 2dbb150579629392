#include "picture.h"

#include <climits>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#define STBI_NO_STDIO
#include <stb_image.h>

#include "picture_container.h"

namespace qatflow {
namespace {

using Content = std::vector<unsigned char>;

constexpr long long kMostPixels = 89478485;  // Pillow's limit, above which it warns of a decompression bomb

void CheckSize(long long width, long long height) {
  if (width < 1 || height < 1 || width * height > kMostPixels) {
    throw PictureError(std::to_string(width) + "×" + std::to_string(height) + " pixels cannot be decoded");
  }
}

// Reads one whole number of a PNM header: white space and comments, then digits. Returns the position after it.
std::size_t ReadPnmNumber(const Content& content, std::size_t at, long long* value) {
  while (at < content.size() && (content[at] <= ' ' || content[at] == '#')) {
    if (content[at] == '#') {
      while (at < content.size() && content[at] != '\n') ++at;
    } else {
      ++at;
    }
  }
  const std::size_t start = at;
  for (*value = 0; at < content.size() && content[at] >= '0' && content[at] <= '9' && at - start < 6; ++at) {
    *value = 10 * *value + content[at] - '0';
  }
  if (at == start || at == content.size()) throw PictureError("damaged: the PNM header is truncated");
  return at;
}

Picture DecodePnm(const Content& content) {
  long long width = 0;
  long long height = 0;
  long long largest = 0;
  std::size_t at = ReadPnmNumber(content, 2, &width);
  at = ReadPnmNumber(content, at, &height);
  at = ReadPnmNumber(content, at, &largest) + 1;
  CheckSize(width, height);
  if (largest != 255) throw PictureError("only PPM and PGM files with 8 bits (255) are supported");
  Picture picture{static_cast<int>(height), static_cast<int>(width), content[1] == '6' ? 3 : 1, {}};
  const std::size_t bytes = static_cast<std::size_t>(width * height * picture.channels);
  if (content.size() - at < bytes) throw PictureError("damaged: the PNM file is truncated");
  picture.pixels.assign(content.data() + at, content.data() + at + bytes);
  return picture;
}

// Decodes with stb_image into grey or RGB, without alpha.
Picture DecodeByStb(const Content& content) {
  if (content.size() > INT_MAX) throw PictureError("the file is too large");
  const int size = static_cast<int>(content.size());
  Picture picture;
  int samples = 0;
  if (stbi_info_from_memory(content.data(), size, &picture.width, &picture.height, &samples) == 0) {
    throw PictureError(std::string("damaged, or of an unknown kind: ") + stbi_failure_reason());
  }
  CheckSize(picture.width, picture.height);
  const std::unique_ptr<stbi_uc, void (*)(void*)> decoded(
      stbi_load_from_memory(content.data(), size, &picture.width, &picture.height, &samples, 0), stbi_image_free);
  if (decoded == nullptr) throw PictureError(std::string("damaged: ") + stbi_failure_reason());
  picture.channels = samples < 3 ? 1 : 3;
  const std::size_t count = static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.height);
  const std::size_t kept = static_cast<std::size_t>(picture.channels);
  picture.pixels.resize(count * kept);
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(&picture.pixels[i * kept], decoded.get() + i * static_cast<std::size_t>(samples), kept);
  }
  return picture;
}

// Rotates and mirrors the stored picture according to its EXIF orientation.
Picture Upright(Picture stored, int orientation) {
  if (orientation == 1) return stored;
  const bool swapped = orientation >= 5;
  Picture upright = stored;
  if (swapped) std::swap(upright.height, upright.width);
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const std::size_t channels = static_cast<std::size_t>(stored.channels);
  std::uint8_t* target = upright.pixels.data();
  for (int row = 0; row < upright.height; ++row) {
    for (int column = 0; column < upright.width; ++column, target += channels) {
      const int y = swapped ? column : row;
      const int x = swapped ? row : column;
      const int source_y = from_below ? stored.height - 1 - y : y;
      const int source_x = from_right ? stored.width - 1 - x : x;
      const std::size_t pixel = static_cast<std::size_t>(source_y) * static_cast<std::size_t>(stored.width) +
                                static_cast<std::size_t>(source_x);
      std::memcpy(target, &stored.pixels[pixel * channels], channels);
    }
  }
  return upright;
}

Picture InChannels(Picture picture, int channels) {
  if (picture.channels == channels) return picture;
  Picture result{picture.height, picture.width, channels, {}};
  const std::vector<std::uint8_t>& from = picture.pixels;
  if (channels == 3) {
    result.pixels.reserve(3 * from.size());
    for (const std::uint8_t grey : from) result.pixels.insert(result.pixels.end(), 3, grey);
  } else {
    result.pixels.reserve(from.size() / 3);
    for (std::size_t i = 0; i < from.size(); i += 3) {
      // ITU-R 601 in 16 bits after the point, rounded: Pillow's integers.
      const unsigned int grey = 19595U * from[i] + 38470U * from[i + 1] + 7471U * from[i + 2] + 0x8000U;
      result.pixels.push_back(static_cast<std::uint8_t>(grey >> 16));
    }
  }
  return result;
}

}  // namespace

bool IsPicture(const Content& content) { return KindOf(content) != PictureKind::kNone; }

Picture DecodePicture(const Content& content, int channels) {
  switch (KindOf(content)) {
    case PictureKind::kPnm:
      return InChannels(DecodePnm(content), channels);
    case PictureKind::kPng: {
      const int orientation = CheckPng(content);
      return InChannels(Upright(DecodeByStb(content), orientation), channels);
    }
    case PictureKind::kJpeg: {
      const int orientation = CheckJpeg(content);
      return InChannels(Upright(DecodeByStb(content), orientation), channels);
    }
    default:
      throw PictureError("not a PNG, JPEG, PPM or PGM file");
  }
}

}  // namespace qatflow
