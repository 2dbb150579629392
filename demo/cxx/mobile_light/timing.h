// Times of repeated runs, and their statistics.
#ifndef QATFLOW_TIMING_H_
#define QATFLOW_TIMING_H_

#include <chrono>
#include <vector>

namespace qatflow {

// All in milliseconds; `runs` is a count. `p90` is the nearest rank; `stddev` divides by runs - 1 (0 for one run).
struct Statistics {
  int runs = 0;
  double min = 0;
  double mean = 0;
  double median = 0;
  double p90 = 0;
  double max = 0;
  double stddev = 0;
};

// `milliseconds` holds at least one time.
Statistics Summarise(std::vector<double> milliseconds);

// Milliseconds since its construction.
class Stopwatch {
 public:
  double Milliseconds() const {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Peak resident memory of this process so far, in bytes; 0 if the system does not report it.
long long PeakMemoryBytes();

}  // namespace qatflow

#endif  // QATFLOW_TIMING_H_
