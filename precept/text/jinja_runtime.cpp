#include "precept/text/jinja_runtime.h"

namespace precept::jinja {

Value Runtime::fail(std::string what, std::string hint) {
  if (!error_) {
    for (char& c : what) {  // names and texts of the template's
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
    }
    error_ = Error{std::move(what), std::move(hint), line > 0 ? file_ : std::string(), line, ErrorKind::kBadInput};
  }
  return {};
}

bool Runtime::step(std::size_t n) {
  steps_ += n;
  if (steps_ > limits.steps) {
    fail("the template does not end within " + std::to_string(limits.steps) + " steps", "does it loop over too much?");
  }
  return !error_;
}

bool Runtime::charge(std::size_t bytes) {
  if (bytes > limits.memory_bytes - bytes_) {
    fail("the template needs more than " + std::to_string(limits.memory_bytes) + " bytes of memory",
         "is a text or list built again and again?");
    return false;
  }
  bytes_ += bytes;
  return !error_;
}

Value Runtime::text(Text text) {
  if (!charge(sizeof(Text) + text.input.size() * sizeof(TextSpan))) return {};
  return Value::of(&texts_.emplace_back(std::move(text)));
}

Value Runtime::part(const Text& text, std::size_t begin, std::size_t end) {
  if (!charge(end - begin)) return {};
  return this->text(text.part(begin, end));
}

Value Runtime::list(std::vector<Value> items, ListKind kind, bool input) {
  if (!charge(sizeof(List) + items.size() * sizeof(Value))) return {};
  return Value::of(&lists_.emplace_back(List{std::move(items), kind, input, 0}));
}

Dict* Runtime::dict(bool input) {
  charge(sizeof(Dict));
  Dict& made = dicts_.emplace_back();
  made.input = input;
  return &made;
}

Value Runtime::method(const Value& self, std::string_view name) {
  if (!charge(sizeof(Method))) return {};
  Value value = Value::of(Kind::kMethod, false);
  value.method = &methods_.emplace_back(Method{self, name});
  return value;
}

Value Runtime::undefined(std::string_view name) {
  Value value;
  if (!charge(name.size() + sizeof(Text))) return value;
  value.text = &texts_.emplace_back(std::string(name), false);
  return value;
}

}  // namespace precept::jinja
