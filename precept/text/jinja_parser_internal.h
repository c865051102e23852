#pragma once
// The parser's parts: jinja_parser.cpp has the expressions, jinja_parser_statements.cpp the tags. The first error
// stays; after it the parser sees only the end of the template, so that everything comes to its end by itself.

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "precept/text/jinja_ast.h"
#include "precept/text/jinja_lexer.h"
#include "precept/text/jinja_parser.h"

namespace precept::jinja {

class Parser {
 public:
  Parser(std::vector<Token> tokens, std::string file, const TemplateLimits& limits);
  Result<std::shared_ptr<const Program>> run();

 private:
  // Tokens.
  const Token& now() const { return tokens_[at_]; }
  const Token& after() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  bool at_name(std::string_view name) const { return now().kind == TokenKind::kName && now().text == name; }
  bool at_op(std::string_view op) const { return now().kind == TokenKind::kOperator && now().text == op; }
  bool at_any_name(std::initializer_list<std::string_view> names) const;
  void skip();
  bool skip_name(std::string_view name);
  bool skip_op(std::string_view op);
  void expect_op(std::string_view op);
  void expect_name(std::string_view name);
  void expect(TokenKind kind);
  std::string_view name_token();  // any name
  std::string shown() const;      // the current token, for messages
  void fail(std::string what, std::string hint, int line = 0);
  bool enter(int line);  // one level deeper; false where that is too deep

  // Nodes.
  Expr* node(ExprKind kind, int line, std::vector<const Expr*> children = {});
  Stmt* statement(StmtKind kind, int line);
  std::string_view keep(std::string_view name);
  const Text* keep_text(std::string text);

  // Expressions, weakest binding first.
  const Expr* expression(bool conditional = true);
  const Expr* disjunction();
  const Expr* conjunction();
  const Expr* negation();
  const Expr* comparison();
  const Expr* sum();
  const Expr* concatenation();
  const Expr* product();
  const Expr* power();
  const Expr* unary(bool with_filter = true);
  const Expr* primary();
  const Expr* literal();
  const Expr* postfix(const Expr* expr);
  const Expr* filters_and_tests(const Expr* expr);
  const Expr* subscript(const Expr* expr);
  const Expr* filter(const Expr* expr);
  const Expr* test(const Expr* expr);
  const Expr* call(const Expr* expr);
  std::vector<Argument> arguments();
  const Expr* tuple(bool conditional, bool in_parentheses);
  const Expr* target(bool namespaces);
  const Expr* target_item(bool namespaces);

  // Tags.
  Block block(std::initializer_list<std::string_view> ends);
  Block body(std::initializer_list<std::string_view> ends);  // after a tag: its end, then a block
  const Stmt* tag();
  const Stmt* for_loop();
  const Stmt* condition();
  const Stmt* assignment();
  const Stmt* macro();
  const Stmt* call_block();
  const Stmt* filter_block();
  const Stmt* with();
  const Stmt* generation();
  const Stmt* loop_control(StmtKind kind);
  void parameters(Stmt* owner);
  void callable_body(Stmt* owner, std::string_view end);

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::size_t nesting_ = 0;
  int loops_ = 0;  // open around here
  bool saw_varargs_ = false, saw_kwargs_ = false, saw_caller_ = false;
  std::shared_ptr<Program> program_ = std::make_shared<Program>();
  const TemplateLimits& limits_;
  std::optional<Error> error_;
};

}  // namespace precept::jinja
