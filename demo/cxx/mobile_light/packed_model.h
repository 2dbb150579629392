// A packed model: a .tflite file for the download, with weights of fewer than 8 bits packed and the whole deflated.
// ../README.md describes the format.
#ifndef QATFLOW_PACKED_MODEL_H_
#define QATFLOW_PACKED_MODEL_H_

#include <vector>

namespace qatflow {

// The bytes of the .tflite file that was packed; their SHA-256 is checked. Throws ModelError or ModelVersionError.
std::vector<char> ExpandModel(const std::vector<char>& packed);

}  // namespace qatflow

#endif  // QATFLOW_PACKED_MODEL_H_
