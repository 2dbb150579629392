// The structure of a PNG or JPEG file around its pixels, and whether it is complete.
//
// stb_image decodes truncated or altered files without an error; these checks reject them, as Pillow does.
#ifndef QATFLOW_PICTURE_CONTAINER_H_
#define QATFLOW_PICTURE_CONTAINER_H_

#include <vector>

namespace qatflow {

enum class PictureKind { kNone, kPng, kJpeg, kPnm };

PictureKind KindOf(const std::vector<unsigned char>& content);

// Checks the lengths and checksums of the chunks; returns the EXIF orientation, 1 to 8. Throws PictureError.
int CheckPng(const std::vector<unsigned char>& content);

// Checks the segments; rejects CMYK; returns the EXIF orientation, 1 to 8. Throws PictureError.
int CheckJpeg(const std::vector<unsigned char>& content);

}  // namespace qatflow

#endif  // QATFLOW_PICTURE_CONTAINER_H_
