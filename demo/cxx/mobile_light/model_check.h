// Checks a .tflite file before LiteRT reads it.
//
// LiteRT's verifier checks the offsets of the flatbuffer, but not the indices of tensors, buffers and operator codes,
// nor sizes: LiteRT then crashes on a damaged file. Everything that it relies on is checked here.
#ifndef QATFLOW_MODEL_CHECK_H_
#define QATFLOW_MODEL_CHECK_H_

#include <cstddef>
#include <stdexcept>

namespace qatflow {

// The model cannot be used: unreadable, damaged, or of an unsupported form.
class ModelError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The model has another version of the format, or needs an operator that this LiteRT does not have.
class ModelVersionError : public ModelError {
 public:
  using ModelError::ModelError;
};

// Throws ModelError.
void CheckModelFile(const void* content, std::size_t size);

}  // namespace qatflow

#endif  // QATFLOW_MODEL_CHECK_H_
