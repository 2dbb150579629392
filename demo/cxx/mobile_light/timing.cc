#include "timing.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <numeric>
#include <string>

namespace qatflow {

Statistics Summarise(std::vector<double> milliseconds) {
  std::sort(milliseconds.begin(), milliseconds.end());
  const std::size_t count = milliseconds.size();
  const double runs = static_cast<double>(count);
  Statistics result;
  result.runs = static_cast<int>(count);
  result.min = milliseconds.front();
  result.max = milliseconds.back();
  result.mean = std::accumulate(milliseconds.begin(), milliseconds.end(), 0.0) / runs;
  result.median = (milliseconds[(count - 1) / 2] + milliseconds[count / 2]) / 2;
  result.p90 = milliseconds[(count * 9 + 9) / 10 - 1];
  double squares = 0;
  for (const double value : milliseconds) squares += (value - result.mean) * (value - result.mean);
  if (count > 1) result.stddev = std::sqrt(squares / (runs - 1));
  return result;
}

long long PeakMemoryBytes() {
  // Not getrusage: its ru_maxrss includes the memory of the parent program before exec.
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    long long kibibytes = 0;
    if (word == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

}  // namespace qatflow
