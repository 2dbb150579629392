// Reads and writes whole files.
#ifndef QATFLOW_FILES_H_
#define QATFLOW_FILES_H_

#include <cstddef>
#include <fstream>
#include <string>
#include <vector>

#include "failure.h"

namespace qatflow {

using Bytes = std::vector<unsigned char>;

// The size of a regular file in bytes; -1 if there is none.
long long FileSize(const std::string& path);

// Throws Failure(status) if the file cannot be read.
Bytes ReadFile(const std::string& path, ExitStatus status);

// The lines of a text file, without line ends (\n or \r\n). Throws Failure(status).
std::vector<std::string> ReadLines(const std::string& path, ExitStatus status);

// Writes to a file next to `path` and renames it to `path` in `Finish`, so that an interrupted run leaves no partial
// file. A `path` that is not a regular file (/dev/stdout, a pipe) is written to directly. Throws Failure.
class WholeFile {
 public:
  explicit WholeFile(const std::string& path);
  ~WholeFile();
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;

  void Write(const void* data, std::size_t size);
  void Finish();

 private:
  std::string path_;
  std::string written_;
  std::ofstream stream_;
  bool finished_ = false;
};

}  // namespace qatflow

#endif  // QATFLOW_FILES_H_
