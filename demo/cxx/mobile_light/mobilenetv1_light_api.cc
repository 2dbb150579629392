// Runs an image classifier on the device and prints some of its outputs; `--help` lists the flags.
//
//   mobilenetv1_light_api --model_dir=/data/local/tmp/mobilenet_v1_quant_opt
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "flags.h"
#include "light_predictor.h"
#include "timing.h"

#ifndef QATFLOW_LITERT_VERSION
#define QATFLOW_LITERT_VERSION ""
#endif

namespace {

using qatflow::Flags;
using qatflow::LightPredictor;
using qatflow::Statistics;
using qatflow::TensorInfo;

enum ExitStatus {
  kDone = 0,
  kWrongFlag = 2,
  kNoModel = 3,
  kUnusableModel = 4,
  kUnusableInput = 5,
  kRunFailed = 6,
  kUnwritableOutput = 7,
};

// What the user reads, and the status the program ends with.
struct Failure {
  ExitStatus status;
  std::string message;
};

using Bytes = std::vector<char>;

// The size of a regular file in bytes, -1 where there is none.
long long FileSize(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return -1;
  return static_cast<long long>(status.st_size);
}

// Writes beside `path` and moves the file there in `Finish`, so that an interrupted run leaves no half file. What is
// there and no regular file (/dev/stdout, a pipe) is written to as it is.
class WholeFile {
 public:
  explicit WholeFile(const std::string& path) : path_(path), written_(path) {
    struct stat status {};
    if (lstat(path_.c_str(), &status) != 0 || S_ISREG(status.st_mode)) written_ += ".part";
    stream_.open(written_, std::ios::binary | std::ios::trunc);
    if (!stream_) throw Failure{kUnwritableOutput, "cannot write '" + path_ + "'"};
  }
  ~WholeFile() {
    if (!finished_ && written_ != path_) std::remove(written_.c_str());
  }
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;

  void Write(const char* data, std::size_t size) { stream_.write(data, static_cast<std::streamsize>(size)); }
  void Finish() {
    stream_.close();
    finished_ = !stream_.fail() && (written_ == path_ || std::rename(written_.c_str(), path_.c_str()) == 0);
    if (!finished_) throw Failure{kUnwritableOutput, "cannot write '" + path_ + "' (is the disk full?)"};
  }

 private:
  std::string path_;
  std::string written_;
  std::ofstream stream_;
  bool finished_ = false;
};

// The tensors of --input, or one tensor of ones.
class Inputs {
 public:
  Inputs(const std::string& path, const TensorInfo& info) : path_(path), tensor_(info.bytes()) {
    if (path_.empty()) {
      info.Fill(1.0F, tensor_.data());
      return;
    }
    const long long size = FileSize(path_);
    const auto bytes = static_cast<long long>(info.bytes());
    if (size < 0) throw Failure{kUnusableInput, "no input file '" + path_ + "'"};
    if (size == 0 || size % bytes != 0) {
      throw Failure{kUnusableInput, "input '" + path_ + "' holds " + std::to_string(size) +
                                        " bytes, which is no multiple of one input tensor (" + std::to_string(bytes) +
                                        " bytes of " + info.type_name() + ")"};
    }
    count_ = size / bytes;
    stream_.open(path_, std::ios::binary);
    Next();
  }

  long long count() const { return count_; }
  const char* tensor() const { return tensor_.data(); }
  // Reads the next tensor of the file in place of the current one.
  void Next() {
    stream_.read(tensor_.data(), static_cast<std::streamsize>(tensor_.size()));
    if (!stream_) throw Failure{kUnusableInput, "cannot read input '" + path_ + "'"};
  }

 private:
  std::string path_;
  std::ifstream stream_;
  Bytes tensor_;
  long long count_ = 1;
};

std::string Escaped(const std::string& text) {
  std::string result;
  for (const char character : text) {
    if (character == '"' || character == '\\') result += '\\';
    result += character;
  }
  return result;
}

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::string TensorJson(const TensorInfo& info) {
  std::string shape;
  for (const int dimension : info.shape) shape += (shape.empty() ? "" : ", ") + std::to_string(dimension);
  return std::string("{\"type\": \"") + info.type_name() + "\", \"shape\": [" + shape + "]}";
}

struct Measurement {
  double load_ms = 0;
  double first_ms = 0;
  Statistics times;
  long long model_bytes = 0;
  long long tensors = 0;
};

std::string MeasurementJson(const Measurement& measured, const Flags& flags, const LightPredictor& predictor) {
  const Statistics& times = measured.times;
  return "{\n  \"version\": 1,\n  \"litert_version\": \"" + Escaped(QATFLOW_LITERT_VERSION) +
         "\",\n  \"model_bytes\": " + std::to_string(measured.model_bytes) +
         ",\n  \"input\": " + TensorJson(predictor.input()) + ",\n  \"output\": " + TensorJson(predictor.output()) +
         ",\n  \"tensors\": " + std::to_string(measured.tensors) + ",\n  \"threads\": " +
         std::to_string(flags.threads) + ",\n  \"warmup\": " + std::to_string(flags.warmup) +
         ",\n  \"runs\": " + std::to_string(times.runs) + ",\n  \"load_ms\": " + Number(measured.load_ms) +
         ",\n  \"first_ms\": " + Number(measured.first_ms) + ",\n  \"min_ms\": " + Number(times.min) +
         ",\n  \"mean_ms\": " + Number(times.mean) + ",\n  \"median_ms\": " + Number(times.median) +
         ",\n  \"p90_ms\": " + Number(times.p90) + ",\n  \"max_ms\": " + Number(times.max) +
         ",\n  \"stddev_ms\": " + Number(times.stddev) +
         ",\n  \"peak_memory_bytes\": " + std::to_string(qatflow::PeakMemoryBytes()) + "\n}\n";
}

// Runs the tensor warmup + repeats times, leaving the result in `output`.
void Measure(LightPredictor& predictor, const char* tensor, const Flags& flags, char* output, Measurement* measured) {
  std::vector<double> milliseconds;
  for (int run = 0; run < flags.warmup + flags.repeats; ++run) {
    const qatflow::Stopwatch stopwatch;
    predictor.Run(tensor, output);
    const double elapsed = stopwatch.Milliseconds();
    if (run == 0) measured->first_ms = elapsed;
    if (run >= flags.warmup) milliseconds.push_back(elapsed);
  }
  measured->times = qatflow::Summarise(std::move(milliseconds));
}

void PrintOutputs(const TensorInfo& info, const char* output) {
  const std::size_t count = info.elements();
  const std::size_t step = count >= 1000 ? 100 : std::max<std::size_t>(1, count / 10);
  std::printf("Output dim: %zu\n", count);
  for (std::size_t index = 0; index < count; index += step) {
    std::printf("Output[%zu]: %f\n", index, static_cast<double>(info.Real(output, index)));
  }
}

void Run(const Flags& flags) {
  const std::string model_file = flags.model_dir + "/model.tflite";
  Measurement measured;
  measured.model_bytes = FileSize(model_file);
  if (measured.model_bytes < 0) throw Failure{kNoModel, "no model at '" + model_file + "'"};

  const qatflow::Stopwatch stopwatch;
  LightPredictor predictor(model_file, flags.threads);
  measured.load_ms = stopwatch.Milliseconds();

  Inputs inputs(flags.input, predictor.input());
  Bytes output(predictor.output().bytes());
  measured.tensors = inputs.count();
  Measure(predictor, inputs.tensor(), flags, output.data(), &measured);
  PrintOutputs(predictor.output(), output.data());

  if (!flags.output.empty()) {
    WholeFile file(flags.output);
    file.Write(output.data(), output.size());
    for (long long index = 1; index < inputs.count(); ++index) {
      inputs.Next();
      predictor.Run(inputs.tensor(), output.data());
      file.Write(output.data(), output.size());
    }
    file.Finish();
  }
  if (!flags.json.empty()) {
    WholeFile file(flags.json);
    const std::string text = MeasurementJson(measured, flags, predictor);
    file.Write(text.data(), text.size());
    file.Finish();
  }
}

int Fail(ExitStatus status, const std::string& message) {
  std::cerr << "mobilenetv1_light_api: " << message << '\n';
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Flags flags = qatflow::ParseFlags(argc, argv);
    if (flags.help) {
      std::cout << qatflow::kHelp;
      return kDone;
    }
    Run(flags);
    return std::fflush(stdout) == 0 ? kDone : Fail(kUnwritableOutput, "cannot write to standard output");
  } catch (const qatflow::FlagError& error) {
    return Fail(kWrongFlag, std::string(error.what()) + "; --help lists the flags");
  } catch (const Failure& failure) {
    return Fail(failure.status, failure.message);
  } catch (const qatflow::ModelError& error) {
    return Fail(kUnusableModel, std::string("the model cannot be used: ") + error.what());
  } catch (const qatflow::RunError& error) {
    return Fail(kRunFailed, std::string("a run failed: ") + error.what());
  } catch (const std::exception& error) {
    return Fail(kRunFailed, error.what());
  }
}
