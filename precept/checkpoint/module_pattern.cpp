#include "precept/checkpoint/module_pattern.h"

#include <cctype>
#include <optional>

#include "precept/core/strict_json.h"

namespace precept {
namespace {

using Node = ModulePattern::Node;
using Kind = Node::Kind;
using Set = std::bitset<128>;

constexpr std::size_t kMaxPattern = 2000;
constexpr int kMaxDepth = 32;

Set range(unsigned char from, unsigned char to) {
  Set set;
  for (std::size_t c = from; c <= to; ++c) set.set(c);
  return set;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::optional<Node> run() {
    take('^');
    Node node = either(0);
    if (at_ < text_.size()) fail("unbalanced )");
    return wrong_.empty() ? std::optional(std::move(node)) : std::nullopt;
  }
  const std::string& wrong() const { return wrong_; }

 private:
  bool more() const { return wrong_.empty() && at_ < text_.size(); }
  bool next_is(std::string_view what) const { return text_.substr(at_, what.size()) == what; }
  bool take(char c) {
    if (at_ < text_.size() && text_[at_] == c) {
      ++at_;
      return true;
    }
    return false;
  }
  void fail(std::string what) {
    if (wrong_.empty()) wrong_ = std::move(what);
  }

  Node either(int depth) {
    Node node;
    node.kind = Kind::kEither;
    if (depth > kMaxDepth) {
      fail("groups nested deeply");
      return node;
    }
    do node.parts.push_back(sequence(depth));
    while (more() && take('|'));
    return node;
  }

  Node sequence(int depth) {
    Node node;
    while (more() && text_[at_] != '|' && text_[at_] != ')') {
      if (text_[at_] == '$' && at_ + 1 == text_.size()) {
        ++at_;
        break;
      }
      node.parts.push_back(repeated(depth));
    }
    return node;
  }

  Node repeated(int depth) {
    Node one = atom(depth);
    if (!more()) return one;
    char c = text_[at_];
    if (next_is("{0,}") || next_is("{1,}")) {
      c = text_[at_ + 1] == '0' ? '*' : '+';
      at_ += 3;
    }
    if (c == '{') fail("repetition by {}");
    if (c != '*' && c != '+' && c != '?') return one;
    ++at_;
    take('?');  // lazy
    if (at_ < text_.size() && (text_[at_] == '*' || text_[at_] == '+' || text_[at_] == '{')) fail("two repetitions in a row");
    Node node;
    node.kind = Kind::kRepeat;
    node.none = c != '+';
    node.many = c != '?';
    node.parts.push_back(std::move(one));
    return node;
  }

  Node atom(int depth) {
    Node node;
    node.kind = Kind::kSet;
    const auto c = static_cast<unsigned char>(text_[at_++]);
    if (c == '(') {
      if (next_is("?:")) at_ += 2;
      else if (next_is("?")) fail("(?...)");
      Node group = either(depth + 1);
      if (!take(')')) fail("unbalanced (");
      return group;
    }
    if (c == '\\' && take('b')) node.kind = Kind::kBoundary;
    else if (c == '[') node.set = char_class();
    else if (c == '.') node.set.set();
    else if (c == '\\') node.set = escape();
    else if (c >= 128 || c == '^' || c == '$' || c == '*' || c == '+' || c == '?' || c == '{') fail(std::string("a ") + (c >= 128 ? "non-ASCII letter" : std::string(1, static_cast<char>(c))) + " in this place");
    else node.set.set(c);
    return node;
  }

  Set escape() {
    if (at_ == text_.size()) {
      fail("a \\ at the end");
      return {};
    }
    const auto c = static_cast<unsigned char>(text_[at_++]);
    if (c == 'd') return range('0', '9');
    if (c == 'w') return range('0', '9') | range('a', 'z') | range('A', 'Z') | range('_', '_');
    if (c >= 128 || std::isalnum(c) != 0) fail(std::string("\\") + static_cast<char>(c));
    return c < 128 ? range(c, c) : Set();
  }

  Set char_class() {
    Set set;
    const bool inverse = take('^');
    for (bool first = true; wrong_.empty(); first = false) {
      if (at_ == text_.size()) {
        fail("unbalanced [");
        break;
      }
      if (!first && take(']')) break;
      const auto c = static_cast<unsigned char>(text_[at_++]);
      if (c >= 128) {
        fail("a non-ASCII letter in [...]");
      } else if (c == '\\') {
        set |= escape();
      } else if (at_ + 1 < text_.size() && text_[at_] == '-' && text_[at_ + 1] != ']') {
        const auto last = static_cast<unsigned char>(text_[at_ + 1]);
        if (last >= 128 || last < c || last == '\\') fail("such a range in [...]");
        else set |= range(c, last);
        at_ += 2;
      } else {
        set.set(c);
      }
    }
    return inverse ? ~set : set;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string wrong_;
};

// Does a word begin or end before name[at]?
bool boundary(std::string_view name, std::size_t at) {
  const auto in_word = [&](std::size_t i) { return i < name.size() && (std::isalnum(static_cast<unsigned char>(name[i])) != 0 || name[i] == '_'); };
  return (at > 0 && in_word(at - 1)) != in_word(at);
}

// Places[i]: could what was matched so far end before name[i]?
using Places = std::vector<bool>;

Places step(const Node& node, std::string_view name, Places places) {
  switch (node.kind) {
    case Kind::kSet: {
      Places after(places.size(), false);
      for (std::size_t i = 0; i < name.size(); ++i) {
        const auto c = static_cast<unsigned char>(name[i]);
        after[i + 1] = places[i] && c < 128 && node.set[c];
      }
      return after;
    }
    case Kind::kSequence:
      for (const Node& part : node.parts) places = step(part, name, std::move(places));
      return places;
    case Kind::kEither: {
      Places after(places.size(), false);
      for (const Node& part : node.parts) {
        const Places one = step(part, name, places);
        for (std::size_t i = 0; i < one.size(); ++i) after[i] = after[i] || one[i];
      }
      return after;
    }
    case Kind::kBoundary:
      for (std::size_t i = 0; i < places.size(); ++i) places[i] = places[i] && boundary(name, i);
      return places;
    case Kind::kRepeat: break;
  }
  Places after = node.none ? places : Places(places.size(), false);
  for (bool grew = true; grew;) {
    places = step(node.parts[0], name, std::move(places));
    grew = false;
    for (std::size_t i = 0; i < places.size(); ++i) {
      grew = grew || (places[i] && !after[i]);
      after[i] = after[i] || places[i];
    }
    if (!node.many) break;
  }
  return after;
}

}  // namespace

Result<ModulePattern> ModulePattern::parse(std::string_view text, const std::string& file) {
  const char* hint = "supported: letters, . \\d \\w \\b [classes] (groups) | * + ? {1,}; or list the modules by name";
  if (text.size() > kMaxPattern) return bad_input("a pattern of modules has more than 2000 bytes", hint, file);
  Parser parser(text);
  std::optional<Node> root = parser.run();
  if (!root) return bad_input("the pattern of modules " + in_quotes(text) + " has " + parser.wrong() + ", which is not supported", hint, file);
  ModulePattern pattern;
  pattern.root_ = std::move(*root);
  return pattern;
}

bool ModulePattern::matches(std::string_view name) const {
  Places places(name.size() + 1, false);
  places[0] = true;
  return step(root_, name, std::move(places)).back();
}

bool ModulePattern::matches_end(std::string_view name) const {
  Places places(name.size() + 1, false);
  places[0] = true;
  for (std::size_t i = 0; i < name.size(); ++i) places[i + 1] = name[i] == '.';
  return step(root_, name, std::move(places)).back();
}

}  // namespace precept
