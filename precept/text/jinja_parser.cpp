#include "precept/text/jinja_parser.h"

#include <algorithm>

#include "precept/core/quote.h"
#include "precept/text/jinja_builtins.h"
#include "precept/text/jinja_parser_internal.h"

namespace precept::jinja {

bool Parser::at_any_name(std::initializer_list<std::string_view> names) const {
  return std::any_of(names.begin(), names.end(), [&](std::string_view name) { return at_name(name); });
}

void Parser::skip() {
  if (at_ + 1 < tokens_.size()) ++at_;
}
bool Parser::skip_name(std::string_view name) {
  if (!at_name(name)) return false;
  skip();
  return true;
}
bool Parser::skip_op(std::string_view op) {
  if (!at_op(op)) return false;
  skip();
  return true;
}

std::string Parser::shown() const {
  switch (now().kind) {
    case TokenKind::kEnd: return "the end of the template";
    case TokenKind::kData: return "text";
    case TokenKind::kOutputBegin: return "\"{{\"";
    case TokenKind::kOutputEnd: return "\"}}\"";
    case TokenKind::kBlockBegin: return "\"{%\"";
    case TokenKind::kBlockEnd: return "\"%}\"";
    default: return in_quotes(now().text);
  }
}

void Parser::expect_op(std::string_view op) {
  if (!skip_op(op)) fail("expected " + in_quotes(op) + ", found " + shown(), "is something missing before it?");
}
void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) fail("expected " + in_quotes(name) + ", found " + shown(), "is something missing before it?");
}
void Parser::expect(TokenKind kind) {
  if (now().kind != kind) {
    const char* wanted = kind == TokenKind::kOutputEnd ? "\"}}\"" : "\"%}\"";
    return fail(std::string("expected ") + wanted + ", found " + shown(), "is something missing before it?");
  }
  skip();
}
std::string_view Parser::name_token() {
  if (now().kind != TokenKind::kName) {
    fail("expected a name, found " + shown(), "is something missing before it?");
    return {};
  }
  const std::string_view name = keep(now().text);
  skip();
  return name;
}

void Parser::fail(std::string what, std::string hint, int line) {
  if (error_) return;
  error_ = Error{std::move(what), std::move(hint), program_->file, line != 0 ? line : now().line, ErrorKind::kBadInput};
  at_ = tokens_.size() - 1;
}

bool Parser::enter(int line) {
  if (nesting_ >= limits_.nesting) {
    fail("nested deeper than " + std::to_string(limits_.nesting), "take it apart with set", line);
    return false;
  }
  ++nesting_;
  return true;
}

Expr* Parser::node(ExprKind kind, int line, std::vector<const Expr*> children) {
  Expr& made = program_->exprs.emplace_back();
  made.kind = kind;
  made.line = line;
  made.children = std::move(children);
  for (const Expr* child : made.children) {
    if (child != nullptr) made.depth = std::max(made.depth, child->depth + 1);
  }
  // Chains (a + b + c) grow here without nesting above.
  if (made.depth > 2 * limits_.nesting) {
    fail("an expression has more than " + std::to_string(2 * limits_.nesting) + " steps in a row", "take it apart with set", line);
  }
  return &made;
}

std::string_view Parser::keep(std::string_view name) { return program_->names.emplace_back(name); }
const Text* Parser::keep_text(std::string text) { return &program_->texts.emplace_back(std::move(text), false); }

const Expr* Parser::expression(bool conditional) {
  const int line = now().line;
  if (!enter(line)) return node(ExprKind::kConst, line);
  const Expr* value = disjunction();
  while (conditional && skip_name("if")) {
    const Expr* condition = disjunction();
    const Expr* otherwise = skip_name("else") ? expression() : nullptr;
    value = node(ExprKind::kConditional, line, {condition, value, otherwise});
  }
  --nesting_;
  return value;
}

const Expr* Parser::disjunction() {
  const Expr* left = conjunction();
  while (at_name("or")) {
    const int line = now().line;
    skip();
    const Expr* right = conjunction();
    left = node(ExprKind::kOr, line, {left, right});
  }
  return left;
}

const Expr* Parser::conjunction() {
  const Expr* left = negation();
  while (at_name("and")) {
    const int line = now().line;
    skip();
    const Expr* right = negation();
    left = node(ExprKind::kAnd, line, {left, right});
  }
  return left;
}

const Expr* Parser::negation() {
  std::vector<int> lines;
  while (at_name("not")) {
    lines.push_back(now().line);
    skip();
  }
  const Expr* value = comparison();
  for (; !lines.empty() && !error_; lines.pop_back()) value = node(ExprKind::kNot, lines.back(), {value});
  return value;
}

const Expr* Parser::comparison() {
  static constexpr std::pair<std::string_view, Op> kOps[] = {{"==", Op::kEq}, {"!=", Op::kNe}, {"<", Op::kLt},
                                                             {"<=", Op::kLe}, {">", Op::kGt},  {">=", Op::kGe}};
  const int line = now().line;
  std::vector<const Expr*> children = {sum()};
  std::vector<Op> ops;
  for (;;) {
    const auto* op = std::find_if(std::begin(kOps), std::end(kOps), [&](const auto& o) { return at_op(o.first); });
    if (op != std::end(kOps)) {
      ops.push_back(op->second);
    } else if (at_name("in")) {
      ops.push_back(Op::kIn);
    } else if (at_name("not") && after().kind == TokenKind::kName && after().text == "in") {
      ops.push_back(Op::kNotIn);
      skip();
    } else {
      break;
    }
    skip();
    children.push_back(sum());
  }
  if (ops.empty()) return children[0];
  Expr* made = node(ExprKind::kCompare, line, std::move(children));
  made->ops = std::move(ops);
  return made;
}

const Expr* Parser::sum() {
  const Expr* left = concatenation();
  while (at_op("+") || at_op("-")) {
    const Op op = at_op("+") ? Op::kAdd : Op::kSub;
    const int line = now().line;
    skip();
    const Expr* right = concatenation();
    Expr* made = node(ExprKind::kBinary, line, {left, right});
    made->ops = {op};
    left = made;
  }
  return left;
}

const Expr* Parser::concatenation() {
  const int line = now().line;
  std::vector<const Expr*> parts = {product()};
  while (skip_op("~")) parts.push_back(product());
  return parts.size() == 1 ? parts[0] : node(ExprKind::kConcat, line, std::move(parts));
}

const Expr* Parser::product() {
  static constexpr std::pair<std::string_view, Op> kOps[] = {
      {"*", Op::kMul}, {"/", Op::kDiv}, {"//", Op::kFloorDiv}, {"%", Op::kMod}};
  const Expr* left = power();
  for (;;) {
    const auto* op = std::find_if(std::begin(kOps), std::end(kOps), [&](const auto& o) { return at_op(o.first); });
    if (op == std::end(kOps)) return left;
    const int line = now().line;
    skip();
    const Expr* right = power();
    Expr* made = node(ExprKind::kBinary, line, {left, right});
    made->ops = {op->second};
    left = made;
  }
}

const Expr* Parser::power() {
  const Expr* left = unary();
  while (at_op("**")) {
    const int line = now().line;
    skip();
    const Expr* right = unary();
    Expr* made = node(ExprKind::kBinary, line, {left, right});
    made->ops = {Op::kPow};
    left = made;
  }
  return left;
}

const Expr* Parser::unary(bool with_filter) {
  const int line = now().line;
  if (!enter(line)) return node(ExprKind::kConst, line);
  const Expr* value = nullptr;
  if (at_op("-") || at_op("+")) {
    const ExprKind kind = at_op("-") ? ExprKind::kNeg : ExprKind::kPos;
    skip();
    value = node(kind, line, {unary(false)});
  } else {
    value = primary();
  }
  value = postfix(value);
  if (with_filter) value = filters_and_tests(value);
  --nesting_;
  return value;
}

const Expr* Parser::primary() {
  const int line = now().line;
  if (now().kind == TokenKind::kName) {
    const std::string_view name = name_token();
    Expr* made = node(ExprKind::kConst, line);
    if (name == "true" || name == "True") {
      made->constant = Value::of_bool(true);
    } else if (name == "false" || name == "False") {
      made->constant = Value::of_bool(false);
    } else if (name == "none" || name == "None") {
      made->constant = Value::none();
    } else {
      made->kind = ExprKind::kName;
      made->name = name;
      saw_varargs_ = saw_varargs_ || name == "varargs";
      saw_kwargs_ = saw_kwargs_ || name == "kwargs";
      saw_caller_ = saw_caller_ || name == "caller";
    }
    return made;
  }
  if (skip_op("(")) {
    const Expr* inner = tuple(true, true);
    expect_op(")");
    return inner;
  }
  return literal();
}

const Expr* Parser::literal() {
  const int line = now().line;
  Expr* made = node(ExprKind::kConst, line);
  if (now().kind == TokenKind::kString) {
    std::string text;
    for (; now().kind == TokenKind::kString; skip()) text += now().text;
    made->constant = Value::of(keep_text(std::move(text)));
  } else if (now().kind == TokenKind::kInteger) {
    made->constant = Value::of_int(now().integer);
    skip();
  } else if (now().kind == TokenKind::kFloat) {
    made->constant = Value::of_float(now().number);
    skip();
  } else if (at_op("[") || at_op("{")) {
    const bool is_list = at_op("[");
    const char* close = is_list ? "]" : "}";
    skip();
    std::vector<const Expr*> children;
    while (!error_ && !at_op(close)) {
      children.push_back(expression());
      if (!is_list) {
        expect_op(":");
        children.push_back(expression());
      }
      if (!skip_op(",")) break;
    }
    expect_op(close);
    return node(is_list ? ExprKind::kList : ExprKind::kDict, line, std::move(children));
  } else {
    fail("expected an expression, found " + shown(), "is something missing before it?");
  }
  return made;
}

const Expr* Parser::postfix(const Expr* expr) {
  while (!error_) {
    if (at_op(".") || at_op("[")) expr = subscript(expr);
    else if (at_op("(")) expr = call(expr);
    else break;
  }
  return expr;
}

const Expr* Parser::filters_and_tests(const Expr* expr) {
  while (!error_) {
    if (at_op("|")) expr = filter(expr);
    else if (at_name("is")) expr = test(expr);
    else if (at_op("(")) expr = call(expr);
    else break;
  }
  return expr;
}

const Expr* Parser::subscript(const Expr* expr) {
  const int line = now().line;
  if (skip_op(".")) {
    if (now().kind == TokenKind::kInteger) {
      Expr* index = node(ExprKind::kConst, line);
      index->constant = Value::of_int(now().integer);
      skip();
      return node(ExprKind::kItem, line, {expr, index});
    }
    Expr* made = node(ExprKind::kAttribute, line, {expr});
    made->name = name_token();
    return made;
  }
  expect_op("[");
  const Expr* parts[3] = {nullptr, nullptr, nullptr};
  int colons = 0;
  while (!error_ && !at_op("]")) {
    if (at_op(":") && colons < 2) {
      skip();
      ++colons;
    } else if (at_op(",")) {
      fail("an index has several parts", "write x[a][b]");
    } else if (parts[colons] != nullptr) {
      break;
    } else {
      parts[colons] = expression();
    }
  }
  if (colons == 0 && parts[0] == nullptr) fail("an index is empty", "write x[0] or x[1:]");
  expect_op("]");
  if (colons > 0) return node(ExprKind::kSlice, line, {expr, parts[0], parts[1], parts[2]});
  return node(ExprKind::kItem, line, {expr, parts[0]});
}

std::vector<Argument> Parser::arguments() {
  std::vector<Argument> all;
  expect_op("(");
  Argument::Kind furthest = Argument::kPositional;
  while (!error_ && !at_op(")")) {
    Argument argument;
    if (skip_op("*")) {
      argument.kind = Argument::kStar;
    } else if (skip_op("**")) {
      argument.kind = Argument::kStarStar;
    } else if (now().kind == TokenKind::kName && after().kind == TokenKind::kOperator && after().text == "=") {
      argument.kind = Argument::kNamed;
      argument.name = name_token();
      skip();
    }
    if (argument.kind == Argument::kPositional && furthest != Argument::kPositional) {
      fail("an argument without a name follows one with a name", "put it first");
    }
    furthest = std::max(furthest, argument.kind);
    argument.value = expression();
    all.push_back(argument);
    if (!skip_op(",")) break;
  }
  expect_op(")");
  return all;
}

namespace {
void add_depth(Expr* expr) {
  for (const Argument& argument : expr->arguments) expr->depth = std::max(expr->depth, argument.value->depth + 1);
}
}  // namespace

const Expr* Parser::call(const Expr* expr) {
  const int line = now().line;
  Expr* made = node(ExprKind::kCall, line, {expr});
  made->arguments = arguments();
  add_depth(made);
  return made;
}

const Expr* Parser::filter(const Expr* expr) {
  if (expr != nullptr && expr->kind != ExprKind::kBody) expect_op("|");
  else skip_op("|");
  const int line = now().line;
  Expr* made = node(ExprKind::kFilter, line, {expr});
  made->name = name_token();
  if (!error_ && find_filter(made->name) == nullptr) {
    fail("unknown filter " + in_quotes(made->name), "known: " + filter_names(), line);
  }
  if (at_op("(")) made->arguments = arguments();
  add_depth(made);
  return made;
}

const Expr* Parser::test(const Expr* expr) {
  const int line = now().line;
  expect_name("is");
  const bool negated = skip_name("not");
  Expr* made = node(ExprKind::kTest, line, {expr});
  made->name = name_token();
  if (!error_ && find_test(made->name) == nullptr) {
    fail("unknown test " + in_quotes(made->name), "known: " + test_names(), line);
  }
  const TokenKind kind = now().kind;
  if (at_op("(")) {
    made->arguments = arguments();
  } else if (kind == TokenKind::kString || kind == TokenKind::kInteger || kind == TokenKind::kFloat || at_op("[") ||
             at_op("{") || (kind == TokenKind::kName && !at_any_name({"else", "or", "and", "if", "is", "in", "not"}))) {
    Argument argument;
    argument.value = postfix(primary());
    made->arguments.push_back(argument);
  }
  add_depth(made);
  return negated ? node(ExprKind::kNot, line, {made}) : made;
}

const Expr* Parser::tuple(bool conditional, bool in_parentheses) {
  const int line = now().line;
  std::vector<const Expr*> items;
  bool is_tuple = false;
  while (!error_) {
    const TokenKind kind = now().kind;
    if (kind == TokenKind::kOutputEnd || kind == TokenKind::kBlockEnd || at_op(")")) break;
    items.push_back(expression(conditional));
    if (!at_op(",")) break;
    is_tuple = true;
    skip();
  }
  if (!is_tuple && items.size() == 1) return items[0];
  if (items.empty() && !in_parentheses) fail("expected an expression, found " + shown(), "write one");
  return node(ExprKind::kTuple, line, std::move(items));
}

Parser::Parser(std::vector<Token> tokens, std::string file, const TemplateLimits& limits)
    : tokens_(std::move(tokens)), limits_(limits) {
  program_->file = std::move(file);
}

Result<std::shared_ptr<const Program>> Parser::run() {
  program_->body = block({});
  if (error_) return tl::unexpected<Error>(std::move(*error_));
  return std::shared_ptr<const Program>(program_);
}

Result<std::shared_ptr<const Program>> parse_program(std::string_view source, const std::string& file,
                                                     const TemplateLimits& limits) {
  auto tokens = tokenize(source, file);
  if (!tokens) return tl::unexpected<Error>(tokens.error());
  return Parser(std::move(*tokens), file, limits).run();
}

}  // namespace precept::jinja
