// The report of a run as JSON.
#ifndef QATFLOW_REPORT_H_
#define QATFLOW_REPORT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "flags.h"
#include "light_predictor.h"
#include "profile.h"
#include "timing.h"
#include "top_classes.h"

namespace qatflow {

// The best classes of one input.
struct InputResult {
  std::string input;
  std::vector<RankedClass> top;
};

struct Report {
  long long model_bytes = 0;
  std::size_t inputs = 0;
  double load_ms = 0;     // to read, expand and prepare the model
  double expand_ms = 0;   // of these, to expand a packed model
  double prepare_ms = 0;  // to read, decode and preprocess the first input
  double first_ms = 0;    // the very first run
  std::vector<double> milliseconds;  // of each timed run, in order
  Statistics times;
  std::vector<InputResult> results;  // empty without --topk
  std::vector<OperatorSummary> operators;  // empty without --profile
};

std::string ReportJson(const Report& report, const Flags& flags, const TensorInfo& input, const TensorInfo& output,
                       const std::vector<std::string>& labels);

}  // namespace qatflow

#endif  // QATFLOW_REPORT_H_
