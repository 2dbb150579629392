#include "inputs.h"

#include "failure.h"
#include "picture.h"

namespace qatflow {
namespace {

std::string ShapeText(const std::vector<std::int32_t>& shape) {
  std::string text;
  for (const std::int32_t dimension : shape) text += (text.empty() ? "" : "×") + std::to_string(dimension);
  return text;
}

// The pictures of a list; paths that are not absolute are relative to the list's folder.
std::vector<std::string> ReadList(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  std::vector<std::string> pictures;
  for (const std::string& line : ReadLines(path, kUnreadableInput)) {
    if (!line.empty()) pictures.push_back(line[0] == '/' ? line : folder + line);
  }
  if (pictures.empty()) throw Failure(kUnreadableInput, "the list '" + path + "' contains no pictures");
  return pictures;
}

// Whether the file starts like a picture; false if it cannot be read.
bool BeginsAsPicture(const std::string& path) {
  Bytes start(8);
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(start.data()), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<std::size_t>(file.gcount()));
  return IsPicture(start);
}

}  // namespace

Inputs::Inputs(const Flags& flags, const TensorInfo& info) : info_(info), tensor_(info.bytes()) {
  if (!flags.images.empty()) {
    pictures_ = ReadList(flags.images);
  } else if (!flags.arrays.empty()) {
    array_.resize(info.elements());
    OpenTensors(flags.arrays, array_.size() * sizeof(float), "float32");
  } else if (BeginsAsPicture(flags.input)) {
    pictures_ = {flags.input};
  } else if (!flags.input.empty()) {
    OpenTensors(flags.input, info.bytes(), info.type_name());
  }
  if (!pictures_.empty()) {
    count_ = pictures_.size();
  }
  if (!pictures_.empty() || !array_.empty()) ReadPreprocessingOf(flags.model_dir);
  Load();
}

std::string Inputs::name() const {
  if (!pictures_.empty()) return pictures_[current_];
  return path_.empty() ? "ones" : path_ + "[" + std::to_string(current_) + "]";
}

bool Inputs::Next() {
  if (current_ + 1 == count_) return false;
  ++current_;
  Load();
  return true;
}

void Inputs::OpenTensors(const std::string& path, std::size_t bytes_of_one, const std::string& what) {
  path_ = path;
  const long long size = FileSize(path);
  const auto bytes = static_cast<long long>(bytes_of_one);
  if (size < 0) throw Failure(kUnreadableInput, "no input file '" + path + "'");
  if (size == 0 || size % bytes != 0) {
    throw Failure(kWrongInputSize, "input '" + path + "' holds " + std::to_string(size) +
                                       " bytes, which is not a multiple of one input tensor (" + std::to_string(bytes) +
                                       " bytes of " + what + ")" + (array_.empty() ? ", and it is not a picture" : ""));
  }
  count_ = static_cast<std::size_t>(size / bytes);
  stream_.open(path, std::ios::binary);
}

void Inputs::ReadPreprocessingOf(const std::string& model_dir) {
  const std::string path = model_dir + "/preprocessing.json";
  const Bytes text = ReadFile(path, kUnusableModelFolder);
  try {
    preprocessing_ = ReadPreprocessing(std::string(text.begin(), text.end()));
  } catch (const PreprocessingError& error) {
    throw Failure(kUnusableModelFolder, "'" + path + "' cannot be used: " + error.what());
  }
  const bool for_arrays = preprocessing_.resize == Preprocessing::Resize::kNone;
  if (for_arrays != pictures_.empty()) {
    throw Failure(kUnusableModelFolder, "'" + path + "' is for " +
                                            (for_arrays ? "arrays, not for pictures: give them as --arrays"
                                                        : "pictures, not for arrays: give them as --images"));
  }
  const std::vector<std::int32_t> made = {1, preprocessing_.height, preprocessing_.width, preprocessing_.channels};
  if (info_.shape != made) {
    throw Failure(kUnusableModelFolder,
                  "'" + path + "' produces tensors of " + ShapeText(made) + ", the model takes " +
                      ShapeText(info_.shape));
  }
}

void Inputs::Load() {
  if (!pictures_.empty()) {
    const std::string& path = pictures_[current_];
    return LoadPicture(path, ReadFile(path, kUnreadableInput));
  }
  if (path_.empty()) {
    const std::vector<float> ones(info_.elements(), 1.0F);
    return info_.FromReal(ones.data(), ones.size(), tensor_.data());
  }
  if (!array_.empty()) return LoadArray();
  stream_.read(reinterpret_cast<char*>(tensor_.data()), static_cast<std::streamsize>(tensor_.size()));
  if (!stream_) throw Failure(kUnreadableInput, "cannot read input '" + path_ + "'");
}

void Inputs::LoadArray() {
  stream_.read(reinterpret_cast<char*>(array_.data()), static_cast<std::streamsize>(array_.size() * sizeof(float)));
  if (!stream_) throw Failure(kUnreadableInput, "cannot read arrays '" + path_ + "'");
  try {
    PreprocessArray(preprocessing_, &array_);
  } catch (const ArrayError& error) {
    throw Failure(kDamagedPicture, "array '" + name() + "': " + error.what());
  }
  info_.FromReal(array_.data(), array_.size(), tensor_.data());
}

void Inputs::LoadPicture(const std::string& path, const Bytes& content) {
  try {
    const std::vector<float> values =
        Preprocess(preprocessing_, DecodePicture(content, preprocessing_.channels));
    info_.FromReal(values.data(), values.size(), tensor_.data());
  } catch (const PictureError& error) {
    throw Failure(kDamagedPicture, "picture '" + path + "': " + error.what());
  } catch (const PictureSizeError& error) {
    throw Failure(kWrongInputSize, "picture '" + path + "': " + error.what());
  }
}

}  // namespace qatflow
