#include "model_check.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "flatbuffer_reader.h"

namespace qatflow {
namespace {

constexpr std::uint32_t kFormatVersion = 3;
constexpr std::size_t kFirstOptionalInput = 2;  // such as the bias of a convolution; -1 if it is not given
constexpr std::uint64_t kMostElements = 1ULL << 26;

// Positions of the fields in the schema (schema.fbs of LiteRT).
namespace model {
enum { kVersion, kOperatorCodes, kSubgraphs, kDescription, kBuffers, kMetadataBuffers, kMetadata, kSignatures };
}
namespace subgraph {
enum { kTensors, kInputs, kOutputs, kOperators };
}
namespace tensor {
enum { kShape, kType, kBuffer, kName, kQuantization, kVariable, kSparsity, kShapeSignature };
}
namespace quantization {
enum { kMin, kMax, kScale, kZeroPoint, kDetailsType, kDetails, kAxis };
}
namespace operation {
enum { kCode, kInputs, kOutputs };
}
namespace buffer {
enum { kData, kOffset, kSize };
}
namespace metadata {
enum { kName, kBuffer };
}
namespace signature {
enum { kInputs, kOutputs, kKey, kDeprecatedTag, kSubgraph };
}
namespace tensor_map {
enum { kName, kTensor };
}

[[noreturn]] void Damaged(const std::string& what) { throw ModelError("it is damaged: " + what); }

// Bytes per element by TensorType; 0 for types without a fixed size in whole bytes.
std::uint64_t ElementSize(std::int8_t type) {
  switch (type) {
    case 0:   // FLOAT32
    case 2:   // INT32
    case 15:  // UINT32
      return 4;
    case 1:   // FLOAT16
    case 7:   // INT16
    case 16:  // UINT16
    case 18:  // BFLOAT16
      return 2;
    case 3:  // UINT8
    case 6:  // BOOL
    case 9:  // INT8
      return 1;
    case 4:   // INT64
    case 8:   // COMPLEX64
    case 10:  // FLOAT64
    case 12:  // UINT64
      return 8;
    default:
      return 0;
  }
}

// Bytes of a constant; 0 for types without a fixed size.
std::uint64_t ConstantSize(std::int8_t type, std::uint64_t elements) {
  switch (type) {
    case 17:  // INT4
    case 20:  // UINT4
      return (elements + 1) / 2;
    case 19:  // INT2
      return (elements + 3) / 4;
    default:
      return elements * ElementSize(type);
  }
}

struct Range {
  std::int64_t low;
  std::int64_t high;
};

// The range of the integers that a zero point can be.
Range IntegerRange(std::int8_t type) {
  switch (type) {
    case 3:  // UINT8
      return {0, 255};
    case 9:  // INT8
      return {-128, 127};
    default:
      return {-32768, 32767};
  }
}

class Checker {
 public:
  explicit Checker(const Flatbuffer& file)
      : file_(file),
        model_(file, file.Follow(0)),
        codes_(model_.Tables(model::kOperatorCodes)),
        buffers_(model_.Tables(model::kBuffers)),
        subgraphs_(model_.Tables(model::kSubgraphs)) {}

  void Check() {
    const auto version = model_.Get<std::uint32_t>(model::kVersion, 0);
    if (version != kFormatVersion) {
      throw ModelVersionError("it has version " + std::to_string(version) + " of the .tflite format, and version " +
                              std::to_string(kFormatVersion) + " is read");
    }
    for (std::size_t i = 0; i < buffers_.count(); ++i) {
      const FlatbufferTable table(file_, buffers_.Table(i));
      const auto offset = table.Get<std::uint64_t>(buffer::kOffset, 0);
      const auto size = table.Get<std::uint64_t>(buffer::kSize, 0);
      if (offset > file_.size() || size > file_.size() - offset) Damaged("a buffer is outside the file");
      buffer_sizes_.push_back(offset > 1 ? size : table.Vector(buffer::kData, 1).count());
    }
    if (subgraphs_.count() == 0) Damaged("it has no graph");
    for (std::size_t i = 0; i < subgraphs_.count(); ++i) CheckSubgraph(FlatbufferTable(file_, subgraphs_.Table(i)));
    CheckMetadata();
    CheckSignatures();
  }

 private:
  void CheckSubgraph(const FlatbufferTable& graph) {
    const FlatbufferVector tensors = graph.Tables(subgraph::kTensors);
    std::vector<bool> known(tensors.count());      // whether the tensor has a value at this point
    std::vector<bool> made_here(tensors.count());  // whether an operator computes it
    for (std::size_t i = 0; i < tensors.count(); ++i) {
      known[i] = CheckTensor(FlatbufferTable(file_, tensors.Table(i)));
    }
    tensor_counts_.push_back(tensors.count());
    const FlatbufferVector inputs = graph.Vector(subgraph::kInputs, sizeof(std::int32_t));
    for (std::size_t i = 0; i < inputs.count(); ++i) known[TensorIndex(inputs.Get<std::int32_t>(i), known)] = true;

    const FlatbufferVector operators = graph.Tables(subgraph::kOperators);
    for (std::size_t i = 0; i < operators.count(); ++i) {
      const FlatbufferTable table(file_, operators.Table(i));
      if (table.Get<std::uint32_t>(operation::kCode, 0) >= codes_.count()) Damaged("an operator has no code");
      const FlatbufferVector taken = table.Vector(operation::kInputs, sizeof(std::int32_t));
      for (std::size_t k = 0; k < taken.count(); ++k) {
        const auto index = taken.Get<std::int32_t>(k);
        if (index == -1 && k >= kFirstOptionalInput) continue;
        if (!known[TensorIndex(index, known)]) Damaged("an operator reads a tensor that has no value yet");
      }
      const FlatbufferVector made = table.Vector(operation::kOutputs, sizeof(std::int32_t));
      for (std::size_t k = 0; k < made.count(); ++k) {
        const std::size_t index = TensorIndex(made.Get<std::int32_t>(k), known);
        if (known[index]) Damaged("an operator writes a tensor that already has a value");
        known[index] = made_here[index] = true;
      }
    }
    const FlatbufferVector outputs = graph.Vector(subgraph::kOutputs, sizeof(std::int32_t));
    for (std::size_t i = 0; i < outputs.count(); ++i) {
      if (!made_here[TensorIndex(outputs.Get<std::int32_t>(i), known)]) Damaged("no operator computes the output");
    }
  }

  static std::size_t TensorIndex(std::int32_t index, const std::vector<bool>& tensors) {
    if (index < 0 || static_cast<std::size_t>(index) >= tensors.size()) Damaged("a tensor index is out of range");
    return static_cast<std::size_t>(index);
  }

  // Returns whether the tensor is a constant.
  bool CheckTensor(const FlatbufferTable& table) const {
    const FlatbufferVector shape = table.Vector(tensor::kShape, sizeof(std::int32_t));
    if (shape.count() > 8) Damaged("a tensor has more than 8 dimensions");
    std::uint64_t elements = 1;
    for (std::size_t axis = 0; axis < shape.count(); ++axis) {
      const auto dimension = shape.Get<std::int32_t>(axis);
      if (dimension < -1) Damaged("a tensor has a negative dimension");
      elements *= dimension < 0 ? 1 : static_cast<std::uint64_t>(dimension);
      if (elements > kMostElements) Damaged("a tensor has more than 2^26 elements");
    }
    CheckQuantization(table, shape);
    const auto index = table.Get<std::uint32_t>(tensor::kBuffer, 0);
    if (index >= buffer_sizes_.size()) Damaged("a tensor's buffer is missing");
    const std::uint64_t size = buffer_sizes_[index];
    const std::uint64_t wanted = ConstantSize(table.Get<std::int8_t>(tensor::kType, 0), elements);
    if (size > 0 && wanted > 0 && size != wanted) {
      Damaged("a constant's size does not match its shape");
    }
    return size > 0;
  }

  void CheckQuantization(const FlatbufferTable& table, const FlatbufferVector& shape) const {
    const std::size_t field = table.Field(tensor::kQuantization);
    if (field == 0) return;
    const FlatbufferTable parameters(file_, file_.Follow(field));
    const FlatbufferVector scales = parameters.Vector(quantization::kScale, sizeof(float));
    const FlatbufferVector zeros = parameters.Vector(quantization::kZeroPoint, sizeof(std::int64_t));
    for (std::size_t i = 0; i < scales.count(); ++i) {
      const auto scale = scales.Get<float>(i);
      // XNNPACK rejects a scale that is zero or denormal, but too late.
      if (!std::isnormal(scale) || scale < 0) Damaged("a scale is not above 0");
    }
    const Range range = IntegerRange(table.Get<std::int8_t>(tensor::kType, 0));
    for (std::size_t i = 0; i < zeros.count(); ++i) {
      const auto zero = zeros.Get<std::int64_t>(i);
      if (zero < range.low || zero > range.high) Damaged("a zero point is outside the range of its tensor's type");
    }
    if (zeros.count() > 1 && zeros.count() != scales.count()) Damaged("the zero points are not as many as the scales");
    if (scales.count() < 2) return;
    const auto axis = parameters.Get<std::int32_t>(quantization::kAxis, 0);
    if (axis < 0 || static_cast<std::size_t>(axis) >= shape.count() ||
        static_cast<std::int64_t>(scales.count()) != shape.Get<std::int32_t>(static_cast<std::size_t>(axis))) {
      Damaged("a tensor does not have one scale per channel");
    }
  }

  void CheckMetadata() const {
    const FlatbufferVector entries = model_.Tables(model::kMetadata);
    for (std::size_t i = 0; i < entries.count(); ++i) {
      const FlatbufferTable table(file_, entries.Table(i));
      if (table.Field(metadata::kName) == 0 ||
          table.Get<std::uint32_t>(metadata::kBuffer, 0) >= buffer_sizes_.size()) {
        Damaged("its metadata points to a missing buffer");
      }
    }
  }

  void CheckSignatures() const {
    const FlatbufferVector entries = model_.Tables(model::kSignatures);
    for (std::size_t i = 0; i < entries.count(); ++i) {
      const FlatbufferTable table(file_, entries.Table(i));
      const auto graph = table.Get<std::uint32_t>(signature::kSubgraph, 0);
      if (graph >= tensor_counts_.size()) Damaged("a signature refers to a missing graph");
      for (const std::size_t slot : {signature::kInputs, signature::kOutputs}) {
        const FlatbufferVector named = table.Tables(slot);
        for (std::size_t k = 0; k < named.count(); ++k) {
          const FlatbufferTable map(file_, named.Table(k));
          if (map.Get<std::uint32_t>(tensor_map::kTensor, 0) >= tensor_counts_[graph]) {
            Damaged("a signature refers to a missing tensor");
          }
        }
      }
    }
  }

  const Flatbuffer& file_;
  FlatbufferTable model_;
  FlatbufferVector codes_;
  FlatbufferVector buffers_;
  FlatbufferVector subgraphs_;
  std::vector<std::uint64_t> buffer_sizes_;
  std::vector<std::size_t> tensor_counts_;  // per graph
};

}  // namespace

void CheckModelFile(const void* content, std::size_t size) {
  constexpr std::size_t kIdentifier = 4;  // its position
  if (size < 8 || std::memcmp(static_cast<const char*>(content) + kIdentifier, "TFL3", 4) != 0) {
    throw ModelError("it is not a .tflite file, or it is damaged");
  }
  try {
    const Flatbuffer file(content, size);
    Checker(file).Check();
  } catch (const FlatbufferError& error) {
    Damaged(error.what());
  }
}

}  // namespace qatflow
