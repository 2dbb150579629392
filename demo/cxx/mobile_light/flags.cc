#include "flags.h"

#include <charconv>
#include <map>

namespace qatflow {

const char kHelp[] = R"(usage: mobilenetv1_light_api --model_dir DIR [flags]     (--flag VALUE or --flag=VALUE)

Runs the classifier DIR/model.tflite by LiteRT on the CPU and prints every hundredth output
(below 1000 outputs: every tenth part).

  --model_dir DIR   folder with model.tflite
  --input FILE      tensors of the model's input type and shape, little-endian, one after the other;
                    without it: one tensor of ones
  --output FILE     write all outputs, one after the other, in the model's output type
  --threads N       threads of the run-time, 1 to 64 (1)
  --warmup N        runs of the first tensor before timing starts (0)
  --repeats N       timed runs of the first tensor (1)
  --json FILE       write times (ms), memory (bytes), types and shapes
  --help            print this

exit status: 0 done; 2 wrong flag; 3 no model in DIR; 4 the model cannot be used; 5 the input cannot be
used; 6 a run failed; 7 an output cannot be written
)";

namespace {

int ParseInteger(const std::string& flag, const std::string& text, int low, int high) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    throw FlagError(flag + " wants a whole number from " + std::to_string(low) + " to " + std::to_string(high) +
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
      {"--output", &flags.output},
      {"--json", &flags.json},
  };
  struct Integer {
    int* value;
    int low;
    int high;
  };
  const std::map<std::string, Integer> integers = {
      {"--threads", {&flags.threads, 1, 64}},
      {"--warmup", {&flags.warmup, 0, 1000000}},
      {"--repeats", {&flags.repeats, 1, 1000000}},
  };

  for (int position = 1; position < argc; ++position) {
    const std::string argument = argv[position];
    if (argument == "--help") {
      flags.help = true;
      return flags;
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
    if (value.empty()) throw FlagError(name + " wants a value");
    if (text != texts.end()) {
      *text->second = value;
    } else {
      *integer->second.value = ParseInteger(name, value, integer->second.low, integer->second.high);
    }
  }
  if (flags.model_dir.empty()) throw FlagError("--model_dir is missing");
  return flags;
}

}  // namespace qatflow
