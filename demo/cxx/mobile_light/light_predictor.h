// A classifier in a .tflite file, run by LiteRT on the CPU: one input tensor, one output tensor, fixed shapes.
// Copy light_predictor.{h,cc}, model_check.{h,cc}, flatbuffer_reader.h, read_all.h and litert_c_api.h into an app and
// link with libLiteRt.so. With picture*, stb_image.cc, preprocessing* and json_reader* as well, it can read picture
// files; with packed_model.{h,cc}, sha256.{h,cc} and stb_image.cc, packed models.
//
//   qatflow::LightPredictor predictor("model.tflite", /*threads=*/4);
//   std::vector<float> picture(predictor.input().elements()), scores(predictor.output().elements());
//   predictor.Run(picture.data(), scores.data());
#ifndef QATFLOW_LIGHT_PREDICTOR_H_
#define QATFLOW_LIGHT_PREDICTOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "model_check.h"

namespace qatflow {

// The values are LiteRT's.
enum class ElementType { kFloat32 = 1, kUInt8 = 3, kInt16 = 7, kInt8 = 9 };

// The type and shape of an input or output.
struct TensorInfo {
  ElementType type = ElementType::kFloat32;
  std::vector<std::int32_t> shape;
  // real = (quantised - zero_point) * scale; 1 and 0 for float32.
  float scale = 1.0F;
  std::int64_t zero_point = 0;

  std::size_t elements() const;
  std::size_t bytes() const;
  const char* type_name() const;
  // Element `index` of `data`, as a real number.
  float Real(const void* data, std::size_t index) const;
  // Sets the first `count` elements of `data` to the representable numbers nearest to `real`.
  void FromReal(const float* real, std::size_t count, void* data) const;
};

// The model was loaded, but running it failed.
class RunError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One run of one operator, as measured by LiteRT in whole microseconds.
struct OperatorTime {
  std::string kernel;       // LiteRT's name of the kernel
  std::uint64_t index = 0;  // position in the order of execution
  std::uint64_t microseconds = 0;
};

// Not thread-safe: create one per thread.
class LightPredictor {
 public:
  // Loads and prepares the model for `threads` threads; RunProfiled needs `profile`. Throws ModelError.
  LightPredictor(const std::string& model_file, int threads, bool profile = false);
  // The same with the bytes of a .tflite file, such as ExpandModel of packed_model.h returns.
  LightPredictor(std::vector<char> model, int threads, bool profile = false);
  ~LightPredictor();
  LightPredictor(const LightPredictor&) = delete;
  LightPredictor& operator=(const LightPredictor&) = delete;

  const TensorInfo& input() const;
  const TensorInfo& output() const;

  // Runs the model once: reads input().bytes() from `input`, writes output().bytes() to `output`. Throws RunError.
  void Run(const void* input, void* output);
  // The same, and returns the time of each operator. Profiling slows the run down. Throws RunError.
  std::vector<OperatorTime> RunProfiled(const void* input, void* output);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qatflow

#endif  // QATFLOW_LIGHT_PREDICTOR_H_
