// The part of the LiteRT 2 C API that light_predictor.cc calls.
//
// The ai-edge-litert wheel carries the library without its headers; the declarations follow the public ones
// (google-ai-edge/LiteRT, litert/c/*.h, Apache-2.0). Every call that returns LiteRtStatus returns 0 on success.
#ifndef QATFLOW_LITERT_C_API_H_
#define QATFLOW_LITERT_C_API_H_

#include <cstddef>
#include <cstdint>

extern "C" {

using LiteRtStatus = int;
using LiteRtParamIndex = std::size_t;

using LiteRtEnvironment = struct LiteRtEnvironmentT*;
using LiteRtModel = struct LiteRtModelT*;
using LiteRtSubgraph = struct LiteRtSubgraphT*;
using LiteRtTensor = struct LiteRtTensorT*;
using LiteRtOptions = struct LiteRtOptionsT*;
using LiteRtOpaqueOptions = struct LiteRtOpaqueOptionsT*;
using LiteRtCompiledModel = struct LiteRtCompiledModelT*;
using LiteRtProfiler = struct LiteRtProfilerT*;
using LiteRtTensorBuffer = struct LiteRtTensorBufferT*;
using LiteRtTensorBufferRequirements = struct LiteRtTensorBufferRequirementsT*;

inline constexpr int kLiteRtAnyTypeInt = 2;
inline constexpr int kLiteRtEnvOptionTagAutoRegisterAccelerators = 24;
inline constexpr int kLiteRtEnvOptionTagMinLoggerSeverity = 25;
inline constexpr int kLiteRtLogSeverityWarning = 2;
inline constexpr int kLiteRtHwAcceleratorCpu = 1;
inline constexpr int kLiteRtTensorBufferLockModeRead = 0;
inline constexpr int kLiteRtTensorBufferLockModeWrite = 1;
inline constexpr int kLiteRtOperatorEvent = 2;          // run by LiteRT's own kernel
inline constexpr int kLiteRtDelegateOperatorEvent = 8;  // run by XNNPACK
inline constexpr int kLiteRtRankedTensorType = 0;
inline constexpr int kLiteRtQuantizationPerTensor = 1;

struct LiteRtLayout {
  unsigned int rank : 7;
  bool has_strides : 1;
  std::int32_t dimensions[8];
  std::uint32_t strides[8];
};
static_assert(sizeof(LiteRtLayout) == 68, "the library's layout of a shape");

struct LiteRtRankedTensorType {
  int element_type;
  LiteRtLayout layout;
};

// A union in the library; only integers are set here.
struct LiteRtAny {
  int type;
  std::int64_t int_value;
};

struct LiteRtEnvOption {
  int tag;
  LiteRtAny value;
};
static_assert(sizeof(LiteRtEnvOption) == 24, "the library's layout of an option");

// real = (quantised - zero_point) * scale
struct LiteRtQuantizationPerTensor {
  float scale;
  std::int64_t zero_point;
};

// Something that the profiler saw; it owns `tag`.
struct LiteRtProfilerEvent {
  const char* tag;
  int type;
  std::uint64_t start_us;
  std::uint64_t elapsed_us;
  std::int64_t memory_at_start[3];
  std::int64_t memory_at_end[3];
  std::uint64_t index;  // of the operator
  std::uint64_t more;
  int source;
};
static_assert(sizeof(LiteRtProfilerEvent) == 104, "the library's layout of an event");

LiteRtStatus LiteRtCreateEnvironment(int num_options, const LiteRtEnvOption* options, LiteRtEnvironment* environment);
void LiteRtDestroyEnvironment(LiteRtEnvironment environment);

// Verifies the flatbuffer (LiteRtCreateModelFromFile does not). `buffer` must outlive the model.
LiteRtStatus LiteRtCreateModelFromBuffer(LiteRtEnvironment environment, const void* buffer, std::size_t size,
                                         LiteRtModel* model);
void LiteRtDestroyModel(LiteRtModel model);
LiteRtStatus LiteRtGetMainModelSubgraphIndex(LiteRtModel model, LiteRtParamIndex* index);
LiteRtStatus LiteRtGetModelSubgraph(LiteRtModel model, LiteRtParamIndex index, LiteRtSubgraph* subgraph);
LiteRtStatus LiteRtGetNumSubgraphInputs(LiteRtSubgraph subgraph, LiteRtParamIndex* count);
LiteRtStatus LiteRtGetNumSubgraphOutputs(LiteRtSubgraph subgraph, LiteRtParamIndex* count);
LiteRtStatus LiteRtGetSubgraphInput(LiteRtSubgraph subgraph, LiteRtParamIndex index, LiteRtTensor* tensor);
LiteRtStatus LiteRtGetSubgraphOutput(LiteRtSubgraph subgraph, LiteRtParamIndex index, LiteRtTensor* tensor);
LiteRtStatus LiteRtGetTensorTypeId(LiteRtTensor tensor, int* type_id);
LiteRtStatus LiteRtGetRankedTensorType(LiteRtTensor tensor, LiteRtRankedTensorType* type);
LiteRtStatus LiteRtGetQuantizationTypeId(LiteRtTensor tensor, int* type_id);
LiteRtStatus LiteRtGetPerTensorQuantization(LiteRtTensor tensor, LiteRtQuantizationPerTensor* quantization);

LiteRtStatus LiteRtCreateOptions(LiteRtOptions* options);
void LiteRtDestroyOptions(LiteRtOptions options);
LiteRtStatus LiteRtSetOptionsHardwareAccelerators(LiteRtOptions options, int accelerators);
// The options of one accelerator: an identifier and a text in TOML; `destructor` frees the text.
LiteRtStatus LiteRtCreateOpaqueOptions(const char* identifier, void* payload, void (*destructor)(void* payload),
                                       LiteRtOpaqueOptions* options);
void LiteRtDestroyOpaqueOptions(LiteRtOpaqueOptions options);
// Takes ownership of `added` when it succeeds.
LiteRtStatus LiteRtAddOpaqueOptions(LiteRtOptions options, LiteRtOpaqueOptions added);

LiteRtStatus LiteRtCreateCompiledModel(LiteRtEnvironment environment, LiteRtModel model, LiteRtOptions options,
                                       LiteRtCompiledModel* compiled_model);
void LiteRtDestroyCompiledModel(LiteRtCompiledModel compiled_model);
LiteRtStatus LiteRtGetCompiledModelInputBufferRequirements(LiteRtCompiledModel compiled_model,
                                                           LiteRtParamIndex signature, LiteRtParamIndex index,
                                                           LiteRtTensorBufferRequirements* requirements);
LiteRtStatus LiteRtGetCompiledModelOutputBufferRequirements(LiteRtCompiledModel compiled_model,
                                                            LiteRtParamIndex signature, LiteRtParamIndex index,
                                                            LiteRtTensorBufferRequirements* requirements);
// With `update_allocation` the memory of all tensors is laid out first, so that the shapes are those of a run.
LiteRtStatus LiteRtGetCompiledModelOutputTensorLayouts(LiteRtCompiledModel compiled_model, LiteRtParamIndex signature,
                                                       std::size_t num_layouts, LiteRtLayout* layouts,
                                                       bool update_allocation);
LiteRtStatus LiteRtRunCompiledModel(LiteRtCompiledModel compiled_model, LiteRtParamIndex signature,
                                    std::size_t num_inputs, LiteRtTensorBuffer* inputs, std::size_t num_outputs,
                                    LiteRtTensorBuffer* outputs);

// The model's own profiler, where it was prepared with the option enable_profiling; the model keeps it.
LiteRtStatus LiteRtCompiledModelGetProfiler(LiteRtCompiledModel compiled_model, LiteRtProfiler* profiler);
LiteRtStatus LiteRtStartProfiler(LiteRtProfiler profiler);
LiteRtStatus LiteRtStopProfiler(LiteRtProfiler profiler);
LiteRtStatus LiteRtResetProfiler(LiteRtProfiler profiler);
LiteRtStatus LiteRtGetNumProfilerEvents(LiteRtProfiler profiler, int* count);
LiteRtStatus LiteRtGetProfilerEvents(LiteRtProfiler profiler, int count, LiteRtProfilerEvent* events);

LiteRtStatus LiteRtCreateManagedTensorBufferFromRequirements(LiteRtEnvironment environment,
                                                             const LiteRtRankedTensorType* type,
                                                             LiteRtTensorBufferRequirements requirements,
                                                             LiteRtTensorBuffer* buffer);
void LiteRtDestroyTensorBuffer(LiteRtTensorBuffer buffer);
LiteRtStatus LiteRtGetTensorBufferPackedSize(LiteRtTensorBuffer buffer, std::size_t* size);
LiteRtStatus LiteRtLockTensorBuffer(LiteRtTensorBuffer buffer, void** address, int mode);
LiteRtStatus LiteRtUnlockTensorBuffer(LiteRtTensorBuffer buffer);

}  // extern "C"

#endif  // QATFLOW_LITERT_C_API_H_
