#pragma once
// Runs a parsed template.

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "precept/text/jinja_ast.h"
#include "precept/text/jinja_runtime.h"

namespace precept::jinja {

struct Scope {
  const Scope* parent = nullptr;
  std::vector<std::pair<std::string_view, Value>> names;
};

struct Macro {
  const Stmt* statement = nullptr;
  const Scope* closure = nullptr;
};

// A for loop while it runs. Items are taken one by one, so that its condition sees what the body did; asking for
// loop.last looks one ahead, asking for loop.length takes all.
struct Loop {
  const Stmt* statement = nullptr;
  Scope* outer = nullptr;
  std::vector<Value> items;
  std::size_t next = 0;
  std::deque<Value> ahead;
  std::size_t index0 = 0;
  Value current, previous;
  std::vector<Value> changed;  // arguments of the last loop.changed()
};

class Interpreter {
 public:
  explicit Interpreter(Runtime& run);

  void set(std::string_view name, const Value& value);  // before render(); `name` outlives this
  Text render(const Program& program);                  // means nothing once run.failed()

 private:
  enum class Flow { kNext, kBreak, kContinue };

  // Counts nesting; too deep is an error.
  class Deeper {
   public:
    explicit Deeper(Interpreter& owner);
    ~Deeper() { --owner_.depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    Interpreter& owner_;
  };

  Flow execute(const Block& block);
  Flow execute(const Stmt& stmt);
  Flow conditional(const Stmt& stmt);
  Flow for_loop(const Stmt& stmt);
  Flow scoped(const Block& block);
  Flow with(const Stmt& stmt);
  Flow capture(const Block& block, bool new_scope, Value& text);
  Flow block_with_filters(const Stmt& stmt);
  void define(const Stmt& stmt);
  void call_block(const Stmt& stmt);
  void output(const Value& value);

  Value evaluate(const Expr& expr);
  Value evaluate_or(const Expr* expr, const Value& otherwise) { return expr != nullptr ? evaluate(*expr) : otherwise; }
  Value name(const Expr& expr);
  Value collection(const Expr& expr);
  Value comparison(const Expr& expr);
  Value concatenation(const Expr& expr);
  Value logical(const Expr& expr);
  Value call(const Expr& expr);
  Value call(const Expr& expr, const Value& callee, const Args& args);
  Value call_macro(const Macro& macro, const Args& args);
  Value filter(const Expr& expr);
  Value test(const Expr& expr);
  Value slice_of(const Expr& expr);
  Args arguments(const Expr& expr);

  bool pull(Loop& loop, Value& item);
  Value loop_attribute(Loop& loop, std::string_view name);
  Value loop_method(const Method& method, const Args& args);

  Scope* enter(const Scope* parent);
  void assign(const Expr& target, const Value& value);
  void assign(std::string_view name, const Value& value);

  Runtime& run_;
  std::deque<Scope> scopes_;
  std::deque<Macro> macros_;
  std::deque<Loop> loops_;
  Scope* scope_ = nullptr;
  Text* out_ = nullptr;
  Text root_;
  Value body_;  // of the filter block being evaluated
  std::size_t depth_ = 0;
};

}  // namespace precept::jinja
