#include "packed_model.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include <stb_image.h>

#include "model_check.h"
#include "sha256.h"

namespace qatflow {
namespace {

constexpr char kMagic[] = {'Q', 'F', 'P', 'A', 'C', 'K', 'E', 'D'};
constexpr std::uint32_t kPackedVersion = 2;
constexpr std::size_t kHeaderSize = 56;
constexpr std::size_t kRangeSize = 12;
constexpr std::uint32_t kLeastBits = 2;
constexpr std::uint32_t kMostBits = 7;
constexpr std::uint32_t kStoredBits = 8;  // of a weight in the model
constexpr std::uint64_t kLargest = std::numeric_limits<std::int32_t>::max();  // offsets of a .tflite file are signed
constexpr std::uint64_t kInflation = 1032;  // bytes that deflate can make of one, at most

// Weights of the model, one byte each there; here they have so many bits, and are divided by 2^shift.
struct Range {
  std::size_t start;
  std::size_t count;
  std::uint32_t bits;
  std::uint32_t shift;
  std::size_t packed_bytes() const { return static_cast<std::size_t>((std::uint64_t{count} * bits + 7) / 8); }
};

[[noreturn]] void Damaged(const std::string& what) { throw ModelError("it is damaged: " + what); }

// A little-endian number.
template <typename Number>
Number Read(const char* bytes) {
  Number value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) {
    value |= static_cast<Number>(Number{static_cast<unsigned char>(bytes[i])} << (8 * i));
  }
  return value;
}

std::vector<Range> ReadRanges(const std::vector<char>& packed, std::uint64_t model_size) {
  const auto count = Read<std::uint32_t>(packed.data() + 12);
  if (count > (packed.size() - kHeaderSize) / kRangeSize) Damaged("it is cut short");
  std::vector<Range> ranges;
  std::uint64_t end = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const char* entry = packed.data() + kHeaderSize + i * kRangeSize;
    const Range range{Read<std::uint32_t>(entry), Read<std::uint32_t>(entry + 4), Read<std::uint16_t>(entry + 8),
                      Read<std::uint16_t>(entry + 10)};
    if (range.start < end || range.bits < kLeastBits || range.bits > kMostBits ||
        range.bits + range.shift > kStoredBits) {
      Damaged("its table of ranges is wrong");
    }
    end = std::uint64_t{range.start} + range.count;
    if (end > model_size) Damaged("its table of ranges is wrong");
    ranges.push_back(range);
  }
  return ranges;
}

// The deflated body: the bytes of the model outside the ranges, then the packed weights of each range.
std::vector<char> Inflate(const char* body, std::size_t body_size, std::uint64_t size) {
  if (size > kInflation * body_size || body_size > kLargest) Damaged("it is cut short");
  std::vector<char> inflated(static_cast<std::size_t>(size));
  const int written =
      stbi_zlib_decode_buffer(inflated.data(), static_cast<int>(size), body, static_cast<int>(body_size));
  if (written < 0 || static_cast<std::uint64_t>(written) != size) {
    Damaged("its body does not have the length that its header says");
  }
  return inflated;
}

// Writes the range's weights as int8; the first weight and each one's lowest bit come first.
void Unpack(const Range& range, const char* packed, char* weights) {
  const std::uint32_t sign = 1U << (range.bits - 1);
  const std::uint32_t mask = (1U << range.bits) - 1;
  std::uint32_t waiting = 0;
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < range.count; ++i) {
    if (bits < range.bits) {
      waiting |= std::uint32_t{static_cast<unsigned char>(*packed++)} << bits;
      bits += 8;
    }
    const std::uint32_t value = waiting & mask;
    const std::int32_t integer = static_cast<std::int32_t>(value ^ sign) - static_cast<std::int32_t>(sign);
    weights[i] = static_cast<char>(static_cast<std::int8_t>(integer * (std::int32_t{1} << range.shift)));
    waiting >>= range.bits;
    bits -= range.bits;
  }
}

}  // namespace

std::vector<char> ExpandModel(const std::vector<char>& packed) {
  if (packed.size() < kHeaderSize || std::memcmp(packed.data(), kMagic, sizeof kMagic) != 0) {
    throw ModelError("it is not a packed model, or it is cut short");
  }
  const auto version = Read<std::uint32_t>(packed.data() + 8);
  if (version != kPackedVersion) {
    throw ModelVersionError("it has version " + std::to_string(version) + " of the packed format, and version " +
                            std::to_string(kPackedVersion) + " is read");
  }
  const auto size = Read<std::uint64_t>(packed.data() + 16);
  if (size == 0 || size > kLargest) Damaged("no model has the size that its header says");
  const std::vector<Range> ranges = ReadRanges(packed, size);
  std::uint64_t rest = size;
  std::uint64_t body = 0;
  for (const Range& range : ranges) {
    rest -= range.count;
    body += range.packed_bytes();
  }
  body += rest;
  const std::size_t body_start = kHeaderSize + ranges.size() * kRangeSize;
  const std::vector<char> inflated = Inflate(packed.data() + body_start, packed.size() - body_start, body);

  std::vector<char> model(static_cast<std::size_t>(size));
  const char* plain = inflated.data();
  const char* weights = inflated.data() + rest;
  std::size_t end = 0;
  for (const Range& range : ranges) {
    const std::size_t between = range.start - end;
    std::memcpy(model.data() + end, plain, between);
    plain += between;
    Unpack(range, weights, model.data() + range.start);
    weights += range.packed_bytes();
    end = range.start + range.count;
  }
  std::memcpy(model.data() + end, plain, model.size() - end);
  const auto digest = Sha256(reinterpret_cast<const unsigned char*>(model.data()), model.size());
  if (std::memcmp(digest.data(), packed.data() + 24, digest.size()) != 0) {
    Damaged("the expanded model has another SHA-256 than its header says");
  }
  return model;
}

}  // namespace qatflow
