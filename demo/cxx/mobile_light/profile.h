// Times of the operators over several runs.
#ifndef QATFLOW_PROFILE_H_
#define QATFLOW_PROFILE_H_

#include <string>
#include <vector>

#include "light_predictor.h"

namespace qatflow {

// An operator's times in milliseconds.
struct OperatorSummary {
  std::string kernel;
  unsigned long long index = 0;
  int runs = 0;
  double mean_ms = 0;
  double min_ms = 0;
  double max_ms = 0;
  double percent = 0;  // of the time of all operators
};

// Accumulates runs; the operators are in the order of the first run.
class OperatorStatistics {
 public:
  void Add(const std::vector<OperatorTime>& run);
  std::vector<OperatorSummary> Summarise() const;

 private:
  std::vector<OperatorSummary> sums_;  // mean_ms holds the sum
};

std::string ProfileText(const std::vector<OperatorSummary>& operators);

}  // namespace qatflow

#endif  // QATFLOW_PROFILE_H_
