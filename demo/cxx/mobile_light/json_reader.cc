#include "json_reader.h"

#include <cstdlib>
#include <cstring>

namespace qatflow {
namespace {

class Reader {
 public:
  explicit Reader(const std::string& text) : at_(text.c_str()), end_(at_ + text.size()) {}

  std::map<std::string, JsonValue> Object() {
    std::map<std::string, JsonValue> values;
    Expect('{');
    if (!Found('}')) {
      do {
        const std::string key = Text();
        Expect(':');
        if (!values.emplace(key, Value()).second) throw JsonError("the key '" + key + "' occurs twice");
      } while (Found(','));
      Expect('}');
    }
    SkipSpace();
    if (at_ != end_) throw JsonError("there is text after the object");
    return values;
  }

 private:
  void SkipSpace() {
    while (at_ != end_ && std::strchr(" \t\r\n", *at_) != nullptr && *at_ != '\0') ++at_;
  }

  bool Found(char wanted) {
    SkipSpace();
    if (at_ == end_ || *at_ != wanted) return false;
    ++at_;
    return true;
  }

  void Expect(char wanted) {
    if (!Found(wanted)) throw JsonError(std::string("'") + wanted + "' is missing");
  }

  // The files that are read contain no escapes.
  std::string Text() {
    Expect('"');
    const char* start = at_;
    while (at_ != end_ && *at_ != '"' && *at_ != '\\') ++at_;
    const std::string text(start, at_);
    Expect('"');
    return text;
  }

  double Number() {
    SkipSpace();
    // strtod accepts more forms (nan, hexadecimal); those start differently or stop at a letter.
    const std::size_t length = std::strspn(at_, "+-.0123456789eE");
    const std::string digits(at_, length);
    char* stop = nullptr;
    const double value = std::strtod(digits.c_str(), &stop);
    if (length == 0 || *stop != '\0') throw JsonError("a number is missing or wrong");
    at_ += length;
    return value;
  }

  JsonValue Value() {
    JsonValue value;
    SkipSpace();
    if (at_ != end_ && *at_ == '"') {
      value.is_text = true;
      value.text = Text();
    } else if (Found('[')) {
      value.is_list = true;
      if (Found(']')) return value;
      do {
        value.numbers.push_back(Number());
      } while (Found(','));
      Expect(']');
    } else {
      value.numbers.push_back(Number());
    }
    return value;
  }

  const char* at_;
  const char* end_;
};

}  // namespace

std::map<std::string, JsonValue> ReadFlatJson(const std::string& text) { return Reader(text).Object(); }

}  // namespace qatflow
