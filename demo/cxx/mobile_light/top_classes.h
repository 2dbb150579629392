// The best classes of an output.
#ifndef QATFLOW_TOP_CLASSES_H_
#define QATFLOW_TOP_CLASSES_H_

#include <cstddef>
#include <string>
#include <vector>

#include "light_predictor.h"

namespace qatflow {

struct RankedClass {
  std::size_t index = 0;
  float value = 0;
};

// The `count` classes with the greatest values, the best first; among equal ones, the lower index comes first.
std::vector<RankedClass> TopClasses(const TensorInfo& info, const void* output, std::size_t count);

// The names in `model_dir`/labels.txt, one per class. Throws Failure.
std::vector<std::string> ReadLabels(const std::string& model_dir, std::size_t classes);

}  // namespace qatflow

#endif  // QATFLOW_TOP_CLASSES_H_
