#include "report.h"

#include <cmath>
#include <cstdio>

#ifndef QATFLOW_LITERT_VERSION
#define QATFLOW_LITERT_VERSION ""
#endif

namespace qatflow {
namespace {

// The length of the UTF-8 sequence that starts there; 0 if none does.
std::size_t Utf8Length(const std::string& text, std::size_t at) {
  const auto byte = [&](std::size_t index) { return static_cast<unsigned char>(text[index]); };
  const unsigned char first = byte(at);
  const std::size_t length = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  if (length == 0 || length > text.size() - at) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (first == 0xE0 && byte(at + 1) < 0xA0) || (first == 0xF0 && byte(at + 1) < 0x90);
  const bool no_character = (first == 0xED && byte(at + 1) > 0x9F) || (first == 0xF4 && byte(at + 1) > 0x8F);
  return overlong || no_character ? 0 : length;
}

// A JSON string; bytes that are not UTF-8, which file names may have, become U+FFFD.
std::string Quoted(const std::string& text) {
  std::string result = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = Utf8Length(text, at);
    const char character = text[at];
    if (length == 0) {
      result += "\\ufffd";
    } else if (length > 1) {
      result.append(text, at, length);
    } else if (static_cast<unsigned char>(character) < ' ') {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned int>(character));
      result += escape;
    } else {
      if (character == '"' || character == '\\') result += '\\';
      result += character;
    }
    at += length == 0 ? 1 : length;
  }
  return result + '"';
}

std::string Number(double value, int digits = 6) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  return text;
}

std::string TimesJson(const std::vector<double>& milliseconds) {
  std::string text;
  for (const double value : milliseconds) text += (text.empty() ? "" : ", ") + Number(value, 9);
  return "[" + text + "]";
}

std::string TensorJson(const TensorInfo& info) {
  std::string shape;
  for (const int dimension : info.shape) shape += (shape.empty() ? "" : ", ") + std::to_string(dimension);
  return std::string("{\"type\": \"") + info.type_name() + "\", \"shape\": [" + shape + "]}";
}

std::string ResultsJson(const std::vector<InputResult>& results, const std::vector<std::string>& labels) {
  std::string text;
  for (const InputResult& result : results) {
    text += (text.empty() ? "\n" : ",\n") + std::string("    {\"input\": ") + Quoted(result.input) + ", \"top\": [";
    for (const RankedClass& ranked : result.top) {
      if (&ranked != &result.top.front()) text += ", ";
      text += "{\"class\": " + std::to_string(ranked.index) + ", \"label\": " + Quoted(labels[ranked.index]) +
              ", \"value\": " + Number(static_cast<double>(ranked.value), 9) + "}";
    }
    text += "]}";
  }
  return "[" + text + "]";
}

std::string OperatorsJson(const std::vector<OperatorSummary>& operators) {
  std::string text;
  for (const OperatorSummary& summary : operators) {
    text += (text.empty() ? "\n" : ",\n") + std::string("    {\"index\": ") + std::to_string(summary.index) +
            ", \"kernel\": " + Quoted(summary.kernel) + ", \"runs\": " + std::to_string(summary.runs) +
            ", \"mean_ms\": " + Number(summary.mean_ms) + ", \"min_ms\": " + Number(summary.min_ms) +
            ", \"max_ms\": " + Number(summary.max_ms) + ", \"percent\": " + Number(summary.percent) + "}";
  }
  return "[" + text + "]";
}

}  // namespace

std::string ReportJson(const Report& report, const Flags& flags, const TensorInfo& input, const TensorInfo& output,
                       const std::vector<std::string>& labels) {
  const Statistics& times = report.times;
  return "{\n  \"version\": 1,\n  \"litert_version\": " + Quoted(QATFLOW_LITERT_VERSION) +
         ",\n  \"model_bytes\": " + std::to_string(report.model_bytes) + ",\n  \"input\": " + TensorJson(input) +
         ",\n  \"output\": " + TensorJson(output) + ",\n  \"tensors\": " + std::to_string(report.inputs) +
         ",\n  \"threads\": " + std::to_string(flags.threads) + ",\n  \"warmup\": " + std::to_string(flags.warmup) +
         ",\n  \"runs\": " + std::to_string(times.runs) + ",\n  \"load_ms\": " + Number(report.load_ms) +
         ",\n  \"expand_ms\": " + Number(report.expand_ms) +
         ",\n  \"prepare_ms\": " + Number(report.prepare_ms) + ",\n  \"first_ms\": " + Number(report.first_ms) +
         ",\n  \"min_ms\": " + Number(times.min) + ",\n  \"mean_ms\": " + Number(times.mean) +
         ",\n  \"median_ms\": " + Number(times.median) + ",\n  \"p90_ms\": " + Number(times.p90) +
         ",\n  \"max_ms\": " + Number(times.max) + ",\n  \"stddev_ms\": " + Number(times.stddev) +
         ",\n  \"times_ms\": " + TimesJson(report.milliseconds) + ",\n  \"peak_memory_bytes\": " + std::to_string(PeakMemoryBytes()) +
         ",\n  \"results\": " + ResultsJson(report.results, labels) +
         ",\n  \"operators\": " + OperatorsJson(report.operators) + "\n}\n";
}

}  // namespace qatflow
