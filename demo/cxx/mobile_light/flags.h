// The command line of mobilenetv1_light_api.
#ifndef QATFLOW_FLAGS_H_
#define QATFLOW_FLAGS_H_

#include <stdexcept>
#include <string>

namespace qatflow {

struct Flags {
  std::string model_dir;
  std::string input;   // tensors, or a picture; empty: one tensor of ones
  std::string images;  // a list of pictures; empty: none
  std::string arrays;  // arrays of float32 values; empty: none
  std::string output;  // empty: not written
  std::string json;    // empty: not written
  int topk = 0;
  int threads = 1;
  int warmup = 0;
  int repeats = 1;
  int min_seconds = 0;
  bool profile = false;
  bool help = false;
};

// A flag is unknown, lacks its value, or has a value that is not allowed.
class FlagError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Reads `--flag=value` and `--flag value`. Throws FlagError.
Flags ParseFlags(int argc, const char* const* argv);

extern const char kHelp[];

}  // namespace qatflow

#endif  // QATFLOW_FLAGS_H_
