#include "light_predictor.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

#include "litert_c_api.h"
#include "read_all.h"

namespace qatflow {
namespace {

// Owns a handle of the C API.
template <typename Handle, void (*Destroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  ~Owned() {
    if (handle_ != nullptr) Destroy(handle_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  Handle get() const { return handle_; }
  Handle* out() { return &handle_; }
  Handle release() {
    Handle handle = handle_;
    handle_ = nullptr;
    return handle;
  }

 private:
  Handle handle_ = nullptr;
};

template <typename Error>
void Check(LiteRtStatus status, const char* doing) {
  if (status != 0) throw Error(std::string(doing) + " failed with LiteRT status " + std::to_string(status));
}

void CheckModel(LiteRtStatus status, const char* doing) { Check<ModelError>(status, doing); }
void CheckRun(LiteRtStatus status, const char* doing) { Check<RunError>(status, doing); }

template <typename Integer>
void Quantise(const TensorInfo& info, const float* real, std::size_t count, void* data) {
  const float low = std::numeric_limits<Integer>::min();
  const float high = std::numeric_limits<Integer>::max();
  const float zero_point = static_cast<float>(info.zero_point);
  for (std::size_t i = 0; i < count; ++i) {
    const float step = std::nearbyint(real[i] / info.scale) + zero_point;
    static_cast<Integer*>(data)[i] = static_cast<Integer>(std::clamp(step, low, high));
  }
}

std::vector<char> ReadModel(const std::string& path) {
  std::vector<char> bytes;
  if (!ReadAll(path, bytes)) throw ModelError("it cannot be read");
  return bytes;
}

TensorInfo Describe(LiteRtTensor tensor, const char* role, LiteRtRankedTensorType* type) {
  int type_id = 0;
  CheckModel(LiteRtGetTensorTypeId(tensor, &type_id), "reading a tensor's type");
  if (type_id != kLiteRtRankedTensorType) throw ModelError(std::string("the ") + role + " has no fixed shape");
  CheckModel(LiteRtGetRankedTensorType(tensor, type), "reading a tensor's shape");

  TensorInfo info;
  switch (type->element_type) {
    case static_cast<int>(ElementType::kFloat32):
    case static_cast<int>(ElementType::kUInt8):
    case static_cast<int>(ElementType::kInt16):
    case static_cast<int>(ElementType::kInt8):
      info.type = static_cast<ElementType>(type->element_type);
      break;
    default:
      throw ModelError(std::string("the ") + role + " is of LiteRT element type " +
                       std::to_string(type->element_type) + "; only float32, uint8, int8 and int16 are supported");
  }
  for (unsigned int axis = 0; axis < type->layout.rank; ++axis) {
    const std::int32_t dimension = type->layout.dimensions[axis];
    if (dimension < 1) {
      throw ModelError(std::string("dimension ") + std::to_string(axis) + " of the " + role +
                       " is not fixed; convert the model with a fixed batch of 1");
    }
    info.shape.push_back(dimension);
  }
  if (info.type != ElementType::kFloat32) {
    int quantization_id = 0;
    LiteRtQuantizationPerTensor quantization{};
    CheckModel(LiteRtGetQuantizationTypeId(tensor, &quantization_id), "reading a tensor's quantisation");
    if (quantization_id != kLiteRtQuantizationPerTensor) {
      throw ModelError(std::string("the ") + role + " is an integer tensor without one scale and zero point");
    }
    CheckModel(LiteRtGetPerTensorQuantization(tensor, &quantization), "reading a tensor's quantisation");
    if (!(quantization.scale > 0) || !std::isfinite(quantization.scale)) {
      throw ModelError(std::string("the scale of the ") + role + " is not above 0");
    }
    info.scale = quantization.scale;
    info.zero_point = quantization.zero_point;
  }
  return info;
}

}  // namespace

std::size_t TensorInfo::elements() const {
  std::size_t count = 1;
  for (const std::int32_t dimension : shape) count *= static_cast<std::size_t>(dimension);
  return count;
}

std::size_t TensorInfo::bytes() const {
  switch (type) {
    case ElementType::kUInt8:
    case ElementType::kInt8:
      return elements();
    case ElementType::kInt16:
      return elements() * sizeof(std::int16_t);
    default:
      return elements() * sizeof(float);
  }
}

const char* TensorInfo::type_name() const {
  switch (type) {
    case ElementType::kUInt8:
      return "uint8";
    case ElementType::kInt8:
      return "int8";
    case ElementType::kInt16:
      return "int16";
    default:
      return "float32";
  }
}

float TensorInfo::Real(const void* data, std::size_t index) const {
  std::int64_t quantised = 0;
  switch (type) {
    case ElementType::kUInt8:
      quantised = static_cast<const std::uint8_t*>(data)[index];
      break;
    case ElementType::kInt8:
      quantised = static_cast<const std::int8_t*>(data)[index];
      break;
    case ElementType::kInt16:
      quantised = static_cast<const std::int16_t*>(data)[index];
      break;
    default:
      return static_cast<const float*>(data)[index];
  }
  return static_cast<float>(quantised - zero_point) * scale;
}

void TensorInfo::FromReal(const float* real, std::size_t count, void* data) const {
  switch (type) {
    case ElementType::kUInt8:
      return Quantise<std::uint8_t>(*this, real, count, data);
    case ElementType::kInt8:
      return Quantise<std::int8_t>(*this, real, count, data);
    case ElementType::kInt16:
      return Quantise<std::int16_t>(*this, real, count, data);
    default:
      std::copy_n(real, count, static_cast<float*>(data));
  }
}

// Members are destroyed in reverse order: buffers before the compiled model, the environment
// and the flatbuffer last.
struct LightPredictor::State {
  std::vector<char> flatbuffer;
  Owned<LiteRtEnvironment, LiteRtDestroyEnvironment> environment;
  Owned<LiteRtModel, LiteRtDestroyModel> model;
  Owned<LiteRtOptions, LiteRtDestroyOptions> options;
  Owned<LiteRtCompiledModel, LiteRtDestroyCompiledModel> compiled;
  Owned<LiteRtTensorBuffer, LiteRtDestroyTensorBuffer> input_buffer;
  Owned<LiteRtTensorBuffer, LiteRtDestroyTensorBuffer> output_buffer;
  LiteRtRankedTensorType input_type{};
  LiteRtRankedTensorType output_type{};
  TensorInfo input;
  TensorInfo output;

  void SetOptions(int threads, bool profile) {
    CheckModel(LiteRtCreateOptions(options.out()), "creating options");
    CheckModel(LiteRtSetOptionsHardwareAccelerators(options.get(), kLiteRtHwAcceleratorCpu), "choosing the CPU");
    // Names and keys: litert/c/options/litert_{cpu,runtime}_options.cc.
    AddOptions("xnnpack", "num_threads = " + std::to_string(threads) + "\n");
    if (profile) AddOptions("runtime_options_string", "enable_profiling = true\n");
  }

  // Adds options in TOML for one part of LiteRT.
  void AddOptions(const char* part, const std::string& toml) {
    char* text = strdup(toml.c_str());
    Owned<LiteRtOpaqueOptions, LiteRtDestroyOpaqueOptions> added;
    const LiteRtStatus created = LiteRtCreateOpaqueOptions(part, text, std::free, added.out());
    if (created != 0) std::free(text);
    CheckModel(created, "creating options");
    CheckModel(LiteRtAddOpaqueOptions(options.get(), added.get()), "setting options");
    added.release();
  }

  void CheckPackedSize(LiteRtTensorBuffer buffer, const TensorInfo& info) const {
    std::size_t size = 0;
    CheckModel(LiteRtGetTensorBufferPackedSize(buffer, &size), "reading a buffer's size");
    if (size != info.bytes()) throw ModelError("LiteRT's buffer does not have the tensor's size");
  }

  void DescribeTensors(LiteRtSubgraph subgraph) {
    LiteRtTensor tensor = nullptr;
    CheckModel(LiteRtGetSubgraphInput(subgraph, 0, &tensor), "finding the input");
    input = Describe(tensor, "input", &input_type);
    CheckModel(LiteRtGetSubgraphOutput(subgraph, 0, &tensor), "finding the output");
    output = Describe(tensor, "output", &output_type);
  }

  // The kernels compute the output's shape and write that much, but the buffer has the shape that the file declares.
  void CheckOutputShape() const {
    LiteRtLayout layout{};
    if (LiteRtGetCompiledModelOutputTensorLayouts(compiled.get(), 0, 1, &layout, true) != 0) {
      throw ModelError("LiteRT cannot compute its shapes: its tensors and operators do not fit together");
    }
    const std::vector<std::int32_t> found(layout.dimensions, layout.dimensions + layout.rank);
    if (found != output.shape) throw ModelError("its operators give the output another shape than the file does");
  }

  void CreateBuffers() {
    LiteRtTensorBufferRequirements requirements = nullptr;
    CheckModel(LiteRtGetCompiledModelInputBufferRequirements(compiled.get(), 0, 0, &requirements), "sizing the input");
    CheckModel(LiteRtCreateManagedTensorBufferFromRequirements(environment.get(), &input_type, requirements,
                                                               input_buffer.out()),
               "creating the input buffer");
    CheckPackedSize(input_buffer.get(), input);
    CheckModel(LiteRtGetCompiledModelOutputBufferRequirements(compiled.get(), 0, 0, &requirements),
               "sizing the output");
    CheckModel(LiteRtCreateManagedTensorBufferFromRequirements(environment.get(), &output_type, requirements,
                                                               output_buffer.out()),
               "creating the output buffer");
    CheckPackedSize(output_buffer.get(), output);
  }
};

LightPredictor::LightPredictor(const std::string& model_file, int threads, bool profile)
    : LightPredictor(ReadModel(model_file), threads, profile) {}

LightPredictor::LightPredictor(std::vector<char> model, int threads, bool profile)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.flatbuffer = std::move(model);
  CheckModelFile(state.flatbuffer.data(), state.flatbuffer.size());
  const LiteRtEnvOption environment_options[] = {
      {kLiteRtEnvOptionTagAutoRegisterAccelerators, {kLiteRtAnyTypeInt, kLiteRtHwAcceleratorCpu}},
      {kLiteRtEnvOptionTagMinLoggerSeverity, {kLiteRtAnyTypeInt, kLiteRtLogSeverityWarning}},
  };
  CheckModel(LiteRtCreateEnvironment(2, environment_options, state.environment.out()), "starting LiteRT");
  if (LiteRtCreateModelFromBuffer(state.environment.get(), state.flatbuffer.data(), state.flatbuffer.size(),
                                  state.model.out()) != 0) {
    throw ModelError("LiteRT reports that it is damaged");
  }

  LiteRtParamIndex main_index = 0;
  LiteRtParamIndex inputs = 0;
  LiteRtParamIndex outputs = 0;
  LiteRtSubgraph subgraph = nullptr;
  CheckModel(LiteRtGetMainModelSubgraphIndex(state.model.get(), &main_index), "finding the graph");
  CheckModel(LiteRtGetModelSubgraph(state.model.get(), main_index, &subgraph), "finding the graph");
  CheckModel(LiteRtGetNumSubgraphInputs(subgraph, &inputs), "counting inputs");
  CheckModel(LiteRtGetNumSubgraphOutputs(subgraph, &outputs), "counting outputs");
  if (inputs != 1 || outputs != 1) {
    throw ModelError("it has " + std::to_string(inputs) + " inputs and " + std::to_string(outputs) +
                     " outputs; it must have one of each");
  }
  state.DescribeTensors(subgraph);
  state.SetOptions(threads, profile);
  const LiteRtStatus prepared = LiteRtCreateCompiledModel(state.environment.get(), state.model.get(),
                                                          state.options.get(), state.compiled.out());
  if (prepared != 0) {
    throw ModelVersionError("this LiteRT cannot prepare it (status " + std::to_string(prepared) +
                            "): it has an operator, or a version of one, that this LiteRT does not support");
  }
  state.CheckOutputShape();
  state.CreateBuffers();
}

LightPredictor::~LightPredictor() = default;

const TensorInfo& LightPredictor::input() const { return state_->input; }
const TensorInfo& LightPredictor::output() const { return state_->output; }

void LightPredictor::Run(const void* input, void* output) {
  void* address = nullptr;
  LiteRtTensorBuffer inputs[] = {state_->input_buffer.get()};
  LiteRtTensorBuffer outputs[] = {state_->output_buffer.get()};
  CheckRun(LiteRtLockTensorBuffer(inputs[0], &address, kLiteRtTensorBufferLockModeWrite), "writing the input");
  std::memcpy(address, input, state_->input.bytes());
  CheckRun(LiteRtUnlockTensorBuffer(inputs[0]), "writing the input");
  CheckRun(LiteRtRunCompiledModel(state_->compiled.get(), 0, 1, inputs, 1, outputs), "running the model");
  CheckRun(LiteRtLockTensorBuffer(outputs[0], &address, kLiteRtTensorBufferLockModeRead), "reading the output");
  std::memcpy(output, address, state_->output.bytes());
  CheckRun(LiteRtUnlockTensorBuffer(outputs[0]), "reading the output");
}

std::vector<OperatorTime> LightPredictor::RunProfiled(const void* input, void* output) {
  LiteRtProfiler profiler = nullptr;
  int count = 0;
  CheckRun(LiteRtCompiledModelGetProfiler(state_->compiled.get(), &profiler), "finding the profiler");
  CheckRun(LiteRtStartProfiler(profiler), "starting the profiler");
  Run(input, output);
  CheckRun(LiteRtStopProfiler(profiler), "stopping the profiler");
  CheckRun(LiteRtGetNumProfilerEvents(profiler, &count), "counting the profiler's events");
  std::vector<LiteRtProfilerEvent> events(static_cast<std::size_t>(std::max(count, 0)));
  CheckRun(LiteRtGetProfilerEvents(profiler, count, events.data()), "reading the profiler's events");
  std::vector<OperatorTime> times;
  for (const LiteRtProfilerEvent& event : events) {
    if (event.type != kLiteRtOperatorEvent && event.type != kLiteRtDelegateOperatorEvent) continue;
    times.push_back({event.tag == nullptr ? "" : event.tag, event.index, event.elapsed_us});
  }
  CheckRun(LiteRtResetProfiler(profiler), "resetting the profiler");
  return times;
}

}  // namespace qatflow
