#include "top_classes.h"

#include <algorithm>
#include <cmath>

#include "failure.h"
#include "files.h"

namespace qatflow {

std::vector<RankedClass> TopClasses(const TensorInfo& info, const void* output, std::size_t count) {
  std::vector<RankedClass> classes(info.elements());
  for (std::size_t i = 0; i < classes.size(); ++i) classes[i] = {i, info.Real(output, i)};
  const auto better = [](const RankedClass& left, const RankedClass& right) {
    // NaN comes last; without this rule there would be no strict order.
    if (std::isnan(left.value) || std::isnan(right.value)) return !std::isnan(left.value) && std::isnan(right.value);
    return left.value > right.value;
  };
  std::stable_sort(classes.begin(), classes.end(), better);
  classes.resize(std::min(count, classes.size()));
  return classes;
}

std::vector<std::string> ReadLabels(const std::string& model_dir, std::size_t classes) {
  const std::string path = model_dir + "/labels.txt";
  std::vector<std::string> labels = ReadLines(path, kUnusableModelFolder);
  if (labels.size() != classes) {
    throw Failure(kUnusableModelFolder, "'" + path + "' has " + std::to_string(labels.size()) +
                                            " labels, the model " + std::to_string(classes) + " outputs");
  }
  return labels;
}

}  // namespace qatflow
