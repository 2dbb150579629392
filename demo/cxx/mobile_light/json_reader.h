// Reads the flat JSON that the optimise stage writes: one object of strings, numbers and lists of numbers.
#ifndef QATFLOW_JSON_READER_H_
#define QATFLOW_JSON_READER_H_

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace qatflow {

// A string, or one or several numbers.
struct JsonValue {
  bool is_text = false;
  bool is_list = false;
  std::string text;
  std::vector<double> numbers;
};

// The text is not a JSON object of this kind.
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws JsonError.
std::map<std::string, JsonValue> ReadFlatJson(const std::string& text);

}  // namespace qatflow

#endif  // QATFLOW_JSON_READER_H_
