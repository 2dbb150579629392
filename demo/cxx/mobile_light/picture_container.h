// What a PNG, JPEG or PNM file says around its pixels, and whether it is whole.
//
// stb_image decodes files that are cut or altered to whatever comes out; these checks refuse them, as Pillow does.
#ifndef QATFLOW_PICTURE_CONTAINER_H_
#define QATFLOW_PICTURE_CONTAINER_H_

#include <vector>

namespace qatflow {

enum class PictureKind { kNone, kPng, kJpeg, kPnm };

PictureKind KindOf(const std::vector<unsigned char>& content);

// Checks lengths and check sums of the chunks; returns the EXIF orientation, 1 to 8. Throws PictureError.
int CheckPng(const std::vector<unsigned char>& content);

// Checks the segments; refuses CMYK; returns the EXIF orientation, 1 to 8. Throws PictureError.
int CheckJpeg(const std::vector<unsigned char>& content);

}  // namespace qatflow

#endif  // QATFLOW_PICTURE_CONTAINER_H_
