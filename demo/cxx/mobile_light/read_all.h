// Reads a whole file in blocks: byte by byte would take longer than running a small model.
#ifndef QATFLOW_READ_ALL_H_
#define QATFLOW_READ_ALL_H_

#include <fstream>
#include <string>
#include <vector>

namespace qatflow {

// Appends the file's content to `bytes`. Returns false if it cannot be opened, or not read to its end.
template <typename Byte>
bool ReadAll(const std::string& path, std::vector<Byte>& bytes) {
  static_assert(sizeof(Byte) == 1);
  std::ifstream file(path, std::ios::binary);
  std::vector<char> block(1 << 16);
  while (file) {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    bytes.insert(bytes.end(), block.begin(), block.begin() + file.gcount());
  }
  return file.eof() && !file.bad();
}

}  // namespace qatflow

#endif  // QATFLOW_READ_ALL_H_
