#include "files.h"

#include <sys/stat.h>

#include <cstdio>

#include "read_all.h"

namespace qatflow {

long long FileSize(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return -1;
  return static_cast<long long>(status.st_size);
}

Bytes ReadFile(const std::string& path, ExitStatus status) {
  if (FileSize(path) < 0) throw Failure(status, "no file '" + path + "'");
  Bytes bytes;
  if (!ReadAll(path, bytes)) throw Failure(status, "cannot read '" + path + "'");
  return bytes;
}

std::vector<std::string> ReadLines(const std::string& path, ExitStatus status) {
  const Bytes bytes = ReadFile(path, status);
  std::vector<std::string> lines;
  std::string line;
  for (const unsigned char byte : bytes) {
    if (byte != '\n') {
      line += static_cast<char>(byte);
      continue;
    }
    if (!line.empty() && line.back() == '\r') line.pop_back();
    lines.push_back(line);
    line.clear();
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

WholeFile::WholeFile(const std::string& path) : path_(path), written_(path) {
  struct stat status {};
  if (lstat(path_.c_str(), &status) != 0 || S_ISREG(status.st_mode)) written_ += ".part";
  stream_.open(written_, std::ios::binary | std::ios::trunc);
  if (!stream_) throw Failure(kUnwritableOutput, "cannot write '" + path_ + "'");
}

WholeFile::~WholeFile() {
  if (!finished_ && written_ != path_) std::remove(written_.c_str());
}

void WholeFile::Write(const void* data, std::size_t size) {
  stream_.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
}

void WholeFile::Finish() {
  stream_.close();
  finished_ = !stream_.fail() && (written_ == path_ || std::rename(written_.c_str(), path_.c_str()) == 0);
  if (!finished_) throw Failure(kUnwritableOutput, "cannot write '" + path_ + "' (is the disk full?)");
}

}  // namespace qatflow
