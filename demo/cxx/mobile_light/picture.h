// Decoded pictures.
#ifndef QATFLOW_PICTURE_H_
#define QATFLOW_PICTURE_H_

#include <cstdint>
#include <stdexcept>
#include <vector>

namespace qatflow {

// Pixels of 8 bits, row by row; `channels` is 1 (grey) or 3 (RGB).
struct Picture {
  int height = 0;
  int width = 0;
  int channels = 0;
  std::vector<std::uint8_t> pixels;
};

// The picture is damaged, or of an unsupported kind.
class PictureError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Whether the content starts like a PNG, JPEG, PPM (P6) or PGM (P5) file.
bool IsPicture(const std::vector<unsigned char>& content);

// Returns the upright picture in `channels` channels, as the training's decoder (Pillow) does: alpha is dropped, the
// upper 8 of 16 bits are kept, grey is 0.299 R + 0.587 G + 0.114 B, and the EXIF orientation is applied. The pixels of
// PNG, PPM and PGM files are the same as Pillow's; those of a JPEG differ by a few levels, because decoders round the
// transform differently.
// Throws PictureError.
Picture DecodePicture(const std::vector<unsigned char>& content, int channels);

}  // namespace qatflow

#endif  // QATFLOW_PICTURE_H_
