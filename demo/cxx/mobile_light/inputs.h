// The tensors that --input and --images stand for, one after the other.
#ifndef QATFLOW_INPUTS_H_
#define QATFLOW_INPUTS_H_

#include <cstddef>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "files.h"
#include "flags.h"
#include "light_predictor.h"
#include "preprocessing.h"

namespace qatflow {

class Inputs {
 public:
  // Reads the first input. `info` is that of the model's input, and must outlive this. Throws Failure.
  Inputs(const Flags& flags, const TensorInfo& info);

  std::size_t count() const { return count_; }
  // Of the current input: its tensor, of the model's type, and what it is called.
  const unsigned char* tensor() const { return tensor_.data(); }
  std::string name() const;
  // Reads the next input in place of the current one; false after the last. Throws Failure.
  bool Next();

 private:
  void OpenTensors(const std::string& path);
  void ReadPreprocessingOf(const std::string& model_dir);
  void Load();
  void LoadPicture(const std::string& path, const Bytes& content);

  const TensorInfo& info_;
  std::vector<std::string> pictures_;  // paths; empty for tensors
  std::string path_;                   // of the tensors; empty: ones
  std::ifstream stream_;
  Preprocessing preprocessing_;
  Bytes tensor_;
  std::size_t count_ = 1;
  std::size_t current_ = 0;
};

}  // namespace qatflow

#endif  // QATFLOW_INPUTS_H_
