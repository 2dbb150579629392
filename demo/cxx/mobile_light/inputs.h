// The input tensors from --input, --images or --arrays, one after the other.
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
  // Reads the first input. `info` describes the model's input, and must outlive this object. Throws Failure.
  Inputs(const Flags& flags, const TensorInfo& info);

  std::size_t count() const { return count_; }
  // The current input: its tensor, of the model's type, and its name.
  const unsigned char* tensor() const { return tensor_.data(); }
  std::string name() const;
  // Replaces the current input by the next one; returns false after the last. Throws Failure.
  bool Next();

 private:
  void OpenTensors(const std::string& path, std::size_t bytes, const std::string& what);
  void ReadPreprocessingOf(const std::string& model_dir);
  void Load();
  void LoadArray();
  void LoadPicture(const std::string& path, const Bytes& content);

  const TensorInfo& info_;
  std::vector<std::string> pictures_;  // paths; empty for tensors
  std::string path_;                   // file of tensors; empty: ones
  std::ifstream stream_;
  Preprocessing preprocessing_;
  Bytes tensor_;
  std::vector<float> array_;  // of --arrays; empty otherwise
  std::size_t count_ = 1;
  std::size_t current_ = 0;
};

}  // namespace qatflow

#endif  // QATFLOW_INPUTS_H_
