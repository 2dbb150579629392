// A look over a .tflite file before LiteRT reads it.
//
// LiteRT's verifier checks the flatbuffer's own offsets, but LiteRT then follows the numbers of tensors, buffers and
// operator codes, and takes sizes, as they stand: a damaged file ends in a crash there. What it follows is checked here.
#ifndef QATFLOW_MODEL_CHECK_H_
#define QATFLOW_MODEL_CHECK_H_

#include <cstddef>
#include <stdexcept>

namespace qatflow {

// The model cannot be used: unreadable, damaged, or of a form that is not run.
class ModelError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The model is of another version of the format, or needs an operator that this LiteRT does not have.
class ModelVersionError : public ModelError {
 public:
  using ModelError::ModelError;
};

// Throws ModelError.
void CheckModelFile(const void* content, std::size_t size);

}  // namespace qatflow

#endif  // QATFLOW_MODEL_CHECK_H_
