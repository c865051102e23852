// Tags.

#include <algorithm>

#include "precept/core/quote.h"
#include "precept/text/jinja_parser_internal.h"

namespace precept::jinja {

Stmt* Parser::statement(StmtKind kind, int line) {
  Stmt& made = program_->stmts.emplace_back();
  made.kind = kind;
  made.line = line;
  return &made;
}

// Up to a tag that is one of `ends`, whose name is then the current token; or to the end of the template.
Block Parser::block(std::initializer_list<std::string_view> ends) {
  Block out;
  for (;;) {
    const int line = now().line;
    switch (now().kind) {
      case TokenKind::kData: {
        Stmt* made = statement(StmtKind::kData, line);
        made->data = keep_text(now().text);
        out.push_back(made);
        skip();
        break;
      }
      case TokenKind::kOutputBegin: {
        skip();
        Stmt* made = statement(StmtKind::kOutput, line);
        made->value = tuple(true, false);
        expect(TokenKind::kOutputEnd);
        out.push_back(made);
        break;
      }
      case TokenKind::kBlockBegin: {
        skip();
        if (at_any_name(ends)) return out;
        if (const Stmt* made = tag()) out.push_back(made);
        expect(TokenKind::kBlockEnd);
        break;
      }
      default: {
        if (!error_ && ends.size() != 0) {
          std::string wanted;
          for (const std::string_view end : ends) wanted += (wanted.empty() ? "" : " or ") + std::string(end);
          fail("the template ends inside a block", "close it with " + wanted);
        }
        return out;
      }
    }
  }
}

Block Parser::body(std::initializer_list<std::string_view> ends) {
  skip_op(":");
  expect(TokenKind::kBlockEnd);
  return block(ends);
}

const Stmt* Parser::tag() {
  const int line = now().line;
  if (!enter(line)) return nullptr;
  const Stmt* made = nullptr;
  if (skip_name("for")) made = for_loop();
  else if (skip_name("if")) made = condition();
  else if (skip_name("set")) made = assignment();
  else if (skip_name("macro")) made = macro();
  else if (skip_name("call")) made = call_block();
  else if (skip_name("filter")) made = filter_block();
  else if (skip_name("with")) made = with();
  else if (skip_name("generation")) made = generation();
  else if (skip_name("break")) made = loop_control(StmtKind::kBreak);
  else if (skip_name("continue")) made = loop_control(StmtKind::kContinue);
  else if (at_any_name({"include", "import", "from", "extends", "block"})) {
    fail("the tag " + shown() + " is not supported", "a chat template is one file: write its text here");
  } else if (at_any_name({"do", "autoescape", "trans", "debug", "print"})) {
    fail("the tag " + shown() + " is not supported", "chat templates use for, if, set, macro, call, filter, with, generation");
  } else if (now().kind == TokenKind::kName) {
    fail("unknown tag " + shown(), "is an end tag too many or in the wrong place?");
  } else {
    fail("expected a tag, found " + shown(), "write for, if, set or another tag after {%");
  }
  --nesting_;
  return made;
}

const Expr* Parser::target_item(bool namespaces) {
  const int line = now().line;
  if (at_any_name({"true", "false", "none", "True", "False", "None"})) {
    fail("cannot assign to " + shown(), "choose another name");
  }
  if (skip_op("(")) {
    if (!enter(line)) return node(ExprKind::kConst, line);
    const Expr* inner = target(namespaces);
    expect_op(")");
    --nesting_;
    return inner;
  }
  Expr* made = node(ExprKind::kName, line);
  made->name = name_token();
  if (!namespaces || !skip_op(".")) return made;
  Expr* attribute = node(ExprKind::kAttribute, line, {made});
  attribute->name = name_token();
  return attribute;
}

const Expr* Parser::target(bool namespaces) {
  const int line = now().line;
  std::vector<const Expr*> items = {target_item(namespaces)};
  if (!at_op(",")) return items[0];
  while (skip_op(",")) {
    if (at_op("=") || at_op(")") || at_name("in")) break;
    items.push_back(target_item(namespaces));
  }
  return node(ExprKind::kTuple, line, std::move(items));
}

const Stmt* Parser::for_loop() {
  Stmt* made = statement(StmtKind::kFor, now().line);
  made->target = target(false);
  expect_name("in");
  made->value = tuple(false, false);
  if (skip_name("if")) made->condition = expression();
  if (at_name("recursive")) fail("recursive loops are not supported", "call a macro from within itself");
  ++loops_;
  made->body = body({"endfor", "else"});
  --loops_;
  if (skip_name("else")) made->otherwise = body({"endfor"});
  expect_name("endfor");
  return made;
}

const Stmt* Parser::condition() {
  Stmt* made = statement(StmtKind::kIf, now().line);
  const Expr* test = tuple(false, false);
  for (;;) {
    Block then = body({"elif", "else", "endif"});
    made->branches.push_back({test, std::move(then)});
    if (!skip_name("elif")) break;
    test = tuple(false, false);
  }
  if (skip_name("else")) made->branches.push_back({nullptr, body({"endif"})});
  expect_name("endif");
  return made;
}

const Stmt* Parser::assignment() {
  Stmt* made = statement(StmtKind::kSet, now().line);
  made->target = target(true);
  if (skip_op("=")) {
    made->value = tuple(true, false);
    return made;
  }
  made->kind = StmtKind::kSetBlock;
  made->value = node(ExprKind::kBody, made->line);
  while (!error_ && at_op("|")) made->value = filter(made->value);
  made->body = body({"endset"});
  expect_name("endset");
  return made;
}

void Parser::parameters(Stmt* owner) {
  expect_op("(");
  while (!error_ && !at_op(")")) {
    Parameter parameter;
    parameter.name = name_token();
    if (skip_op("=")) parameter.default_value = expression();
    else if (!owner->parameters.empty() && owner->parameters.back().default_value != nullptr) {
      fail("a parameter without a default follows one with a default", "put it first");
    }
    owner->parameters.push_back(parameter);
    if (!skip_op(",")) break;
  }
  expect_op(")");
}

void Parser::callable_body(Stmt* owner, std::string_view end) {
  const bool before[] = {saw_varargs_, saw_kwargs_, saw_caller_};
  const int loops = loops_;
  saw_varargs_ = saw_kwargs_ = saw_caller_ = false;
  loops_ = 0;
  owner->body = body({end});
  expect_name(end);
  loops_ = loops;
  const auto takes = [&](std::string_view name, bool saw) {
    return saw && std::none_of(owner->parameters.begin(), owner->parameters.end(),
                               [&](const Parameter& p) { return p.name == name; });
  };
  owner->takes_varargs = takes("varargs", saw_varargs_);
  owner->takes_kwargs = takes("kwargs", saw_kwargs_);
  owner->takes_caller = saw_caller_;
  saw_varargs_ = saw_varargs_ || before[0];
  saw_kwargs_ = saw_kwargs_ || before[1];
  saw_caller_ = saw_caller_ || before[2];
}

const Stmt* Parser::macro() {
  Stmt* made = statement(StmtKind::kMacro, now().line);
  made->name = name_token();
  parameters(made);
  callable_body(made, "endmacro");
  return made;
}

const Stmt* Parser::call_block() {
  Stmt* made = statement(StmtKind::kCallBlock, now().line);
  made->name = "caller";
  if (at_op("(")) parameters(made);
  made->value = expression();
  if (!error_ && made->value->kind != ExprKind::kCall) fail("a call block calls nothing", "write {% call name() %}", made->line);
  callable_body(made, "endcall");
  return made;
}

const Stmt* Parser::filter_block() {
  Stmt* made = statement(StmtKind::kFilterBlock, now().line);
  made->value = filter(node(ExprKind::kBody, made->line));
  while (!error_ && at_op("|")) made->value = filter(made->value);
  made->body = body({"endfilter"});
  expect_name("endfilter");
  return made;
}

const Stmt* Parser::with() {
  Stmt* made = statement(StmtKind::kWith, now().line);
  while (!error_ && now().kind != TokenKind::kBlockEnd) {
    made->targets.push_back(target_item(false));
    expect_op("=");
    made->values.push_back(expression());
    if (!skip_op(",")) break;
  }
  made->body = body({"endwith"});
  expect_name("endwith");
  return made;
}

const Stmt* Parser::generation() {
  Stmt* made = statement(StmtKind::kGeneration, now().line);
  made->body = body({"endgeneration"});
  expect_name("endgeneration");
  return made;
}

const Stmt* Parser::loop_control(StmtKind kind) {
  if (loops_ == 0) fail("break or continue outside of a loop", "put it between for and endfor");
  return statement(kind, now().line);
}

}  // namespace precept::jinja
