#include "flags.h"

#include <charconv>
#include <map>

namespace qatflow {

const char kHelp[] = R"(usage: mobilenetv1_light_api --model_dir DIR [flags]     (--flag VALUE or --flag=VALUE)

Runs the classifier DIR/model.tflite with LiteRT on the CPU and prints every hundredth output of the first
input (with n < 1000 outputs: every (n/10)th).

  --model_dir DIR   folder that the optimise stage wrote: model.tflite, or model.tflite.packed, which is
                    expanded; labels.txt for --topk; preprocessing.json for pictures and arrays
  --input FILE      a picture (PNG, JPEG, PPM, PGM), or tensors of the model's input type and shape,
                    little-endian, one after the other; the default is one tensor of ones
  --images LIST     a text file with one picture path per line, relative to the list's folder
  --arrays FILE     float32 arrays, little-endian, one after the other, for a model whose inputs are not
                    pictures: [height, width, channels] each, normalised as preprocessing.json says
  --output FILE     write all outputs, one after the other, in the model's output type
  --topk K          print the K best classes of each input, 1 to 1000 (with --images: 1)
  --threads N       threads of the runtime, 1 to 64 (1)
  --warmup N        runs of the first input before the timed ones (0)
  --repeats N       timed runs of the first input (1)
  --min_seconds N   more timed runs until they have taken so many seconds together, 0 to 3600 (0)
  --profile         after the timed runs, run as often again and print the mean time of each operator from
                    LiteRT's profiler: in whole microseconds, fused operators as one; profiling itself
                    slows the runs down
  --json FILE       write times (ms), memory (bytes), types and shapes, best classes, times of operators
  --help            print this

Pictures are rotated upright, decoded to the model's channels and preprocessed exactly as in training, bit for
bit from the decoded pixels on. A JPEG's pixels may differ by a few levels from those of another decoder.

exit status:
   0 done                                          7 an output cannot be written
   2 wrong flag                                    8 the model has another version of the format, or an
   3 no model in DIR                                 operator that this LiteRT does not support
   4 the model is damaged or unsupported           9 an input is missing or cannot be read
   5 an input does not have the model's size      10 a picture or array is damaged or unsupported
   6 a run failed                                 11 labels or preprocessing in DIR are missing or wrong
)";

namespace {

int ParseInteger(const std::string& flag, const std::string& text, int low, int high) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    throw FlagError(flag + " needs a whole number from " + std::to_string(low) + " to " + std::to_string(high) +
                    ", got '" + text + "'");
  }
  return value;
}

}  // namespace

Flags ParseFlags(int argc, const char* const* argv) {
  Flags flags;
  const std::map<std::string, std::string*> texts = {
      {"--model_dir", &flags.model_dir},
      {"--input", &flags.input},
      {"--images", &flags.images},
      {"--arrays", &flags.arrays},
      {"--output", &flags.output},
      {"--json", &flags.json},
  };
  struct Integer {
    int* value;
    int low;
    int high;
  };
  const std::map<std::string, Integer> integers = {
      {"--topk", {&flags.topk, 1, 1000}},
      {"--threads", {&flags.threads, 1, 64}},
      {"--warmup", {&flags.warmup, 0, 1000000}},
      {"--repeats", {&flags.repeats, 1, 1000000}},
      {"--min_seconds", {&flags.min_seconds, 0, 3600}},
  };

  for (int position = 1; position < argc; ++position) {
    const std::string argument = argv[position];
    if (argument == "--help") {
      flags.help = true;
      return flags;
    }
    if (argument == "--profile") {
      flags.profile = true;
      continue;
    }
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const auto text = texts.find(name);
    const auto integer = integers.find(name);
    if (text == texts.end() && integer == integers.end()) throw FlagError("unknown flag '" + argument + "'");

    std::string value;
    if (equals != std::string::npos) {
      value = argument.substr(equals + 1);
    } else if (position + 1 < argc) {
      value = argv[++position];
    }
    if (value.empty()) throw FlagError(name + " needs a value");
    if (text != texts.end()) {
      *text->second = value;
    } else {
      *integer->second.value = ParseInteger(name, value, integer->second.low, integer->second.high);
    }
  }
  if (flags.model_dir.empty()) throw FlagError("--model_dir is missing");
  if (!flags.input.empty() + !flags.images.empty() + !flags.arrays.empty() > 1) {
    throw FlagError("only one of --input, --images and --arrays can be used");
  }
  if (!flags.images.empty() && flags.topk == 0) flags.topk = 1;
  return flags;
}

}  // namespace qatflow
