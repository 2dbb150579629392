#include "picture_container.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "picture.h"

namespace qatflow {
namespace {

using Content = std::vector<unsigned char>;

constexpr unsigned char kPngStart[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
constexpr std::uint32_t kOrientationTag = 0x0112;
constexpr int kUpright = 1;
// Markers of JPEG segments.
constexpr unsigned char kHuffmanTables = 0xC4;
constexpr unsigned char kStartOfScan = 0xDA;

bool StartsWith(const Content& content, std::size_t at, const void* text, std::size_t size) {
  return content.size() - at >= size && std::memcmp(content.data() + at, text, size) == 0;
}

std::uint32_t Number(const unsigned char* bytes, std::size_t size, bool big_endian = true) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value = value << 8 | bytes[big_endian ? i : size - 1 - i];
  return value;
}

// The CRC-32 of PNG (ISO 3309).
std::uint32_t CheckSum(const unsigned char* bytes, std::size_t size) {
  std::uint32_t sum = 0xFFFFFFFFU;
  for (std::size_t i = 0; i < size; ++i) {
    sum ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ (0xEDB88320U & (0U - (sum & 1)));
  }
  return ~sum;
}

// Reads the orientation from the TIFF structure of EXIF; a damaged one is ignored.
int Orientation(const unsigned char* tiff, std::size_t size) {
  if (size < 8) return kUpright;
  const bool big = tiff[0] == 'M';
  const std::size_t directory = Number(tiff + 4, 4, big);
  if (directory > size - 2) return kUpright;
  const std::size_t entries = Number(tiff + directory, 2, big);
  for (std::size_t entry = 0; entry < entries; ++entry) {
    const std::size_t at = directory + 2 + 12 * entry;
    if (at + 12 > size) return kUpright;
    if (Number(tiff + at, 2, big) != kOrientationTag) continue;
    const std::uint32_t value = Number(tiff + at + 8, 2, big);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : kUpright;
  }
  return kUpright;
}

// Checks the Huffman tables of a DHT segment. stb_image 2.27 writes past its table if one has more than 256 codes.
void CheckHuffmanTables(const unsigned char* tables, std::size_t size) {
  while (size > 0) {
    std::size_t codes = 0;
    for (std::size_t length = 1; length <= 16 && length < size; ++length) codes += tables[length];
    if (size < 17 || codes > 256 || codes > size - 17) throw PictureError("damaged: a table of the JPEG file is wrong");
    tables += 17 + codes;
    size -= 17 + codes;
  }
}

// Checks the scans, starting at the first one's header: the tables between them, and that the file has an end.
void CheckScans(const Content& content, std::size_t at) {
  bool ended = false;
  for (; content.size() - at >= 2; ++at) {
    if (content[at] != 0xFF) continue;
    if (content[at + 1] == 0xD9) ended = true;
    if (content[at + 1] != kHuffmanTables) continue;
    const std::size_t left = content.size() - at;
    const std::size_t length = left < 4 ? 0 : Number(content.data() + at + 2, 2);
    if (length < 2 || length > left - 2) throw PictureError("damaged: the JPEG file is truncated");
    CheckHuffmanTables(content.data() + at + 4, length - 2);
  }
  if (!ended) throw PictureError("damaged: the JPEG file is truncated");
}

}  // namespace

PictureKind KindOf(const Content& content) {
  if (StartsWith(content, 0, kPngStart, sizeof kPngStart)) return PictureKind::kPng;
  if (StartsWith(content, 0, "\xFF\xD8\xFF", 3)) return PictureKind::kJpeg;
  const bool pnm = content.size() > 2 && content[0] == 'P' && (content[1] == '5' || content[1] == '6') &&
                   std::memchr(" \t\r\n", content[2], 4) != nullptr;
  return pnm ? PictureKind::kPnm : PictureKind::kNone;
}

int CheckPng(const Content& content) {
  constexpr std::size_t kFrame = 12;  // length, type and checksum of a chunk
  int orientation = kUpright;
  std::size_t at = sizeof kPngStart;
  while (content.size() - at >= kFrame) {
    const unsigned char* chunk = content.data() + at;
    const std::size_t length = Number(chunk, 4);
    if (length > content.size() - at - kFrame) break;
    if (CheckSum(chunk + 4, length + 4) != Number(chunk + 8 + length, 4)) {
      throw PictureError("damaged: a checksum of the PNG file is wrong");
    }
    if (std::memcmp(chunk + 4, "eXIf", 4) == 0) orientation = Orientation(chunk + 8, length);
    if (std::memcmp(chunk + 4, "IEND", 4) == 0) return orientation;
    at += kFrame + length;
  }
  throw PictureError("damaged: the PNG file is truncated");
}

int CheckJpeg(const Content& content) {
  int orientation = kUpright;
  std::size_t at = 2;
  while (content.size() - at >= 4 && content[at] == 0xFF) {
    const unsigned char marker = content[at + 1];
    if (marker == 0xFF) {  // a fill byte
      ++at;
      continue;
    }
    const unsigned char* segment = content.data() + at + 4;
    const std::size_t length = Number(content.data() + at + 2, 2);
    if (length < 2 || length > content.size() - at - 2) break;
    const bool frame = marker >= 0xC0 && marker <= 0xCF && marker != kHuffmanTables && marker != 0xC8 && marker != 0xCC;
    if (frame && length >= 8 && segment[5] == 4) throw PictureError("CMYK pictures are not supported");
    if (marker == 0xE1 && length >= 8 && std::memcmp(segment, "Exif\0", 6) == 0) {
      orientation = Orientation(segment + 6, length - 8);
    }
    if (marker == kHuffmanTables) CheckHuffmanTables(segment, length - 2);
    if (marker == kStartOfScan) {
      CheckScans(content, at + 2);
      return orientation;
    }
    at += 2 + length;
  }
  throw PictureError("damaged: the JPEG file is truncated");
}

}  // namespace qatflow
