// Runs an image classifier on the device and prints some of its outputs; `--help` lists the flags.
//
//   mobilenetv1_light_api --model_dir=/data/local/tmp/mobilenet_v1_quant_opt
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "failure.h"
#include "files.h"
#include "flags.h"
#include "inputs.h"
#include "light_predictor.h"
#include "packed_model.h"
#include "profile.h"
#include "read_all.h"
#include "report.h"
#include "timing.h"
#include "top_classes.h"

namespace {

using namespace qatflow;

constexpr char kPackedEnding[] = ".packed";

// Runs the tensor warmup + repeats times, and on until the timed runs have taken min_seconds together; the result is
// left in `output`.
void Measure(LightPredictor& predictor, const unsigned char* tensor, const Flags& flags, Bytes& output,
             Report& report) {
  for (int run = 0; run < flags.warmup + flags.repeats; ++run) {
    const Stopwatch stopwatch;
    predictor.Run(tensor, output.data());
    const double elapsed = stopwatch.Milliseconds();
    if (run == 0) report.first_ms = elapsed;
    if (run >= flags.warmup) report.milliseconds.push_back(elapsed);
  }
  // A loop of its own: without --min_seconds, a run executes the same instructions as ever.
  if (flags.min_seconds > 0) {
    double total = std::accumulate(report.milliseconds.begin(), report.milliseconds.end(), 0.0);
    while (total < 1000.0 * flags.min_seconds) {
      const Stopwatch stopwatch;
      predictor.Run(tensor, output.data());
      report.milliseconds.push_back(stopwatch.Milliseconds());
      total += report.milliseconds.back();
    }
  }
  report.times = Summarise(report.milliseconds);
}

void PrintOutputs(const TensorInfo& info, const Bytes& output) {
  const std::size_t count = info.elements();
  const std::size_t step = count >= 1000 ? 100 : std::max<std::size_t>(1, count / 10);
  std::printf("Output dim: %zu\n", count);
  for (std::size_t index = 0; index < count; index += step) {
    std::printf("Output[%zu]: %f\n", index, static_cast<double>(info.Real(output.data(), index)));
  }
}

void PrintTop(const InputResult& result, const std::vector<std::string>& labels) {
  std::size_t rank = 0;
  for (const RankedClass& ranked : result.top) {
    std::printf("%s: %zu. %s (%zu): %f\n", result.input.c_str(), ++rank, labels[ranked.index].c_str(), ranked.index,
                static_cast<double>(ranked.value));
  }
}

void Profile(LightPredictor& predictor, const unsigned char* tensor, int runs, Bytes& output, Report& report) {
  OperatorStatistics statistics;
  for (int run = 0; run < runs; ++run) statistics.Add(predictor.RunProfiled(tensor, output.data()));
  report.operators = statistics.Summarise();
  std::fputs(ProfileText(report.operators).c_str(), stdout);
}

// Runs the inputs after the first, whose output is already in `output`; writes and ranks all outputs.
void RunAll(LightPredictor& predictor, Inputs& inputs, const Flags& flags, const std::vector<std::string>& labels,
            Bytes& output, Report& report) {
  if (flags.output.empty() && flags.topk == 0) return;
  std::unique_ptr<WholeFile> file;
  if (!flags.output.empty()) file = std::make_unique<WholeFile>(flags.output);
  for (bool more = true; more;) {
    if (file != nullptr) file->Write(output.data(), output.size());
    if (flags.topk > 0) {
      const auto count = static_cast<std::size_t>(flags.topk);
      report.results.push_back({inputs.name(), TopClasses(predictor.output(), output.data(), count)});
      PrintTop(report.results.back(), labels);
    }
    more = inputs.Next();
    if (more) predictor.Run(inputs.tensor(), output.data());
  }
  if (file != nullptr) file->Finish();
}

// The .tflite file, or the packed one where it is the only one.
std::string ModelFile(const Flags& flags) {
  const std::string plain = flags.model_dir + "/model.tflite";
  const std::string packed = plain + kPackedEnding;
  if (FileSize(plain) >= 0) return plain;
  if (FileSize(packed) >= 0) return packed;
  throw Failure(kNoModel, "no model at '" + plain + "', nor at '" + packed + "'");
}

bool IsPacked(const std::string& model_file) {
  const std::string ending = kPackedEnding;
  return model_file.size() >= ending.size() &&
         model_file.compare(model_file.size() - ending.size(), ending.size(), ending) == 0;
}

// The bytes of the .tflite file; of a packed one, the time to expand it is reported.
std::vector<char> LoadModel(const std::string& model_file, Report& report) {
  std::vector<char> bytes;
  if (!ReadAll(model_file, bytes)) throw ModelError("it cannot be read");
  if (!IsPacked(model_file)) return bytes;
  const Stopwatch expanding;
  std::vector<char> model = ExpandModel(bytes);
  report.expand_ms = expanding.Milliseconds();
  return model;
}

void Run(const Flags& flags, const std::string& model_file) {
  Report report;
  report.model_bytes = FileSize(model_file);

  const Stopwatch loading;
  LightPredictor predictor(LoadModel(model_file, report), flags.threads, flags.profile);
  report.load_ms = loading.Milliseconds();
  std::vector<std::string> labels;
  if (flags.topk > 0) labels = ReadLabels(flags.model_dir, predictor.output().elements());

  const Stopwatch preparing;
  Inputs inputs(flags, predictor.input());
  report.prepare_ms = preparing.Milliseconds();
  report.inputs = inputs.count();

  Bytes output(predictor.output().bytes());
  Measure(predictor, inputs.tensor(), flags, output, report);
  PrintOutputs(predictor.output(), output);
  if (flags.profile) Profile(predictor, inputs.tensor(), flags.repeats, output, report);
  RunAll(predictor, inputs, flags, labels, output, report);

  if (!flags.json.empty()) {
    WholeFile file(flags.json);
    const std::string text = ReportJson(report, flags, predictor.input(), predictor.output(), labels);
    file.Write(text.data(), text.size());
    file.Finish();
  }
}

int Fail(ExitStatus status, const std::string& message) {
  std::cerr << "mobilenetv1_light_api: " << message << '\n';
  return status;
}

int Main(int argc, char** argv) {
  const Flags flags = ParseFlags(argc, argv);
  if (flags.help) {
    std::fputs(kHelp, stdout);
  } else {
    const std::string model_file = ModelFile(flags);
    try {
      Run(flags, model_file);
    } catch (const ModelVersionError& error) {
      return Fail(kOtherModelVersion, "'" + model_file + "' cannot be used: " + error.what());
    } catch (const ModelError& error) {
      return Fail(kUnusableModel, "'" + model_file + "' cannot be used: " + error.what());
    }
  }
  return std::fflush(stdout) == 0 ? kDone : Fail(kUnwritableOutput, "cannot write to standard output");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Main(argc, argv);
  } catch (const FlagError& error) {
    return Fail(kWrongFlag, std::string(error.what()) + "; --help lists the flags");
  } catch (const Failure& failure) {
    return Fail(failure.status(), failure.what());
  } catch (const RunError& error) {
    return Fail(kRunFailed, std::string("a run failed: ") + error.what());
  } catch (const std::exception& error) {
    return Fail(kRunFailed, error.what());
  }
}
