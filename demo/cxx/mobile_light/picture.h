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

// The picture is damaged, or of a kind that is not read.
class PictureError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Whether the content begins as a PNG, JPEG, PPM (P6) or PGM (P5) file does.
bool IsPicture(const std::vector<unsigned char>& content);

// Returns the upright picture in `channels` channels, as the training's decoder (Pillow) does: alpha is dropped, of 16
// bits the upper 8 are kept, grey is 0.299 R + 0.587 G + 0.114 B, and an EXIF orientation is followed. PNG, PPM and PGM
// give the same pixels as there; a JPEG's differ by a few levels, since each decoder rounds its transform differently.
// Throws PictureError.
Picture DecodePicture(const std::vector<unsigned char>& content, int channels);

}  // namespace qatflow

#endif  // QATFLOW_PICTURE_H_
