#include "profile.h"

#include <algorithm>
#include <cstdio>

namespace qatflow {

void OperatorStatistics::Add(const std::vector<OperatorTime>& run) {
  for (const OperatorTime& time : run) {
    const auto same = [&](const OperatorSummary& known) {
      return known.index == time.index && known.kernel == time.kernel;
    };
    auto found = std::find_if(sums_.begin(), sums_.end(), same);
    const double milliseconds = static_cast<double>(time.microseconds) / 1000;
    if (found == sums_.end()) {
      found = sums_.insert(found, {time.kernel, time.index, 0, 0, milliseconds, milliseconds, 0});
    }
    ++found->runs;
    found->mean_ms += milliseconds;
    found->min_ms = std::min(found->min_ms, milliseconds);
    found->max_ms = std::max(found->max_ms, milliseconds);
  }
}

std::vector<OperatorSummary> OperatorStatistics::Summarise() const {
  double total = 0;
  for (const OperatorSummary& sum : sums_) total += sum.mean_ms;
  std::vector<OperatorSummary> operators = sums_;
  for (OperatorSummary& summary : operators) {
    summary.percent = total > 0 ? 100 * summary.mean_ms / total : 0;
    summary.mean_ms /= summary.runs;
  }
  return operators;
}

std::string ProfileText(const std::vector<OperatorSummary>& operators) {
  std::string text = "\n   mean ms     min     max       %  operator\n";
  double sum = 0;
  for (const OperatorSummary& summary : operators) {
    char numbers[64];
    std::snprintf(numbers, sizeof numbers, "%10.4f %7.3f %7.3f %7.2f  ", summary.mean_ms, summary.min_ms,
                  summary.max_ms, summary.percent);
    text += numbers + std::to_string(summary.index) + " " + summary.kernel + "\n";
    sum += summary.mean_ms;
  }
  char last[64];
  std::snprintf(last, sizeof last, "%10.4f  all operators\n", sum);
  return text + last;
}

}  // namespace qatflow
