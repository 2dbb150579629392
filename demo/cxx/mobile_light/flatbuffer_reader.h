// Reads tables and vectors of a flatbuffer (flatbuffers.dev, "internals"), with bounds checks on every access.
#ifndef QATFLOW_FLATBUFFER_READER_H_
#define QATFLOW_FLATBUFFER_READER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace qatflow {

// An offset points outside the file.
class FlatbufferError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The bytes of the file. Numbers are little-endian, as on every processor that this runs on.
class Flatbuffer {
 public:
  Flatbuffer(const void* content, std::size_t size) : bytes_(static_cast<const unsigned char*>(content)), size_(size) {}

  std::size_t size() const { return size_; }

  void Within(std::size_t at, std::size_t length) const {
    if (at > size_ || length > size_ - at) throw FlatbufferError("an offset points outside the file");
  }

  template <typename Number>
  Number Read(std::size_t at) const {
    Number value;
    Within(at, sizeof value);
    std::memcpy(&value, bytes_ + at, sizeof value);
    return value;
  }

  // The position that the offset stored at `at` points to.
  std::size_t Follow(std::size_t at) const { return at + Read<std::uint32_t>(at); }

 private:
  const unsigned char* bytes_;
  std::size_t size_;
};

// A vector of numbers, or of offsets to tables. A missing one is empty.
class FlatbufferVector {
 public:
  FlatbufferVector(const Flatbuffer& file, std::size_t at, std::size_t element_size) : file_(&file) {
    if (at == 0) return;
    count_ = file.Read<std::uint32_t>(at);
    start_ = at + sizeof(std::uint32_t);
    file.Within(start_, count_ * element_size);
  }

  std::size_t count() const { return count_; }
  template <typename Number>
  Number Get(std::size_t index) const {
    return file_->Read<Number>(start_ + index * sizeof(Number));
  }
  // The position of table `index`.
  std::size_t Table(std::size_t index) const { return file_->Follow(start_ + index * sizeof(std::uint32_t)); }

 private:
  const Flatbuffer* file_;
  std::size_t start_ = 0;
  std::size_t count_ = 0;
};

class FlatbufferTable {
 public:
  FlatbufferTable(const Flatbuffer& file, std::size_t at) : file_(&file), at_(at) {
    const std::int64_t vtable = static_cast<std::int64_t>(at) - file.Read<std::int32_t>(at);
    if (vtable < 0) throw FlatbufferError("an offset points outside the file");
    vtable_ = static_cast<std::size_t>(vtable);
    vtable_size_ = file.Read<std::uint16_t>(vtable_);
    file.Within(vtable_, vtable_size_);
  }

  // The position of field `slot`; 0 if it is not stored.
  std::size_t Field(std::size_t slot) const {
    const std::size_t entry = 4 + 2 * slot;
    if (entry + 2 > vtable_size_) return 0;
    const std::uint16_t offset = file_->Read<std::uint16_t>(vtable_ + entry);
    return offset == 0 ? 0 : at_ + offset;
  }
  template <typename Number>
  Number Get(std::size_t slot, Number missing) const {
    const std::size_t field = Field(slot);
    return field == 0 ? missing : file_->Read<Number>(field);
  }
  FlatbufferVector Vector(std::size_t slot, std::size_t element_size) const {
    const std::size_t field = Field(slot);
    return FlatbufferVector(*file_, field == 0 ? 0 : file_->Follow(field), element_size);
  }
  // A vector of tables.
  FlatbufferVector Tables(std::size_t slot) const { return Vector(slot, sizeof(std::uint32_t)); }

 private:
  const Flatbuffer* file_;
  std::size_t at_;
  std::size_t vtable_ = 0;
  std::size_t vtable_size_ = 0;
};

}  // namespace qatflow

#endif  // QATFLOW_FLATBUFFER_READER_H_
