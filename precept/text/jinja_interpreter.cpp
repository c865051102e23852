// Statements.

#include "precept/text/jinja_interpreter.h"

#include "precept/core/quote.h"
#include "precept/text/jinja_builtins.h"

namespace precept::jinja {

Interpreter::Interpreter(Runtime& run) : run_(run) {
  scope_ = enter(nullptr);
  for (const Builtin& function : global_functions()) {
    if (function.name != "strftime_now" || run.now) assign(function.name, Value::of(&function));
  }
}

Interpreter::Deeper::Deeper(Interpreter& owner) : owner_(owner) {
  if (++owner_.depth_ > owner_.run_.limits.depth) {
    owner_.run_.fail("the template goes deeper than " + std::to_string(owner_.run_.limits.depth) + " levels",
                     "does a macro call itself without an end?");
  }
}

void Interpreter::set(std::string_view name, const Value& value) { assign(name, value); }

Text Interpreter::render(const Program& program) {
  scope_ = enter(scope_);
  out_ = &root_;
  execute(program.body);
  return std::move(root_);
}

Scope* Interpreter::enter(const Scope* parent) {
  run_.charge(sizeof(Scope));
  Scope& made = scopes_.emplace_back();
  made.parent = parent;
  return &made;
}

void Interpreter::assign(std::string_view name, const Value& value) {
  run_.step(1 + scope_->names.size() / 16);
  for (auto& entry : scope_->names) {
    if (entry.first == name) {
      entry.second = value;
      return;
    }
  }
  if (run_.charge(sizeof(scope_->names[0]))) scope_->names.emplace_back(name, value);
}

void Interpreter::assign(const Expr& target, const Value& value) {
  if (target.kind == ExprKind::kName) return assign(target.name, value);
  if (target.kind == ExprKind::kAttribute) {
    const Value owner = evaluate(*target.children[0]);
    run_.line = target.line;
    if (!owner.is(Kind::kNamespace)) {
      run_.fail(in_quotes(target.children[0]->name) + " is no namespace: its attribute " + in_quotes(target.name) + " cannot be set",
                "make it with namespace()");
      return;
    }
    const Value key = run_.text(target.name, false);
    if (!run_.failed()) put(run_, *owner.dict, key, value);
    return;
  }
  const Deeper deeper(*this);
  const std::vector<Value> parts = iterate(run_, value);
  if (run_.failed()) return;
  if (parts.size() != target.children.size()) {
    run_.fail("a value of " + std::to_string(parts.size()) + " parts is unpacked into " + std::to_string(target.children.size()) + " names",
              "give as many names as parts");
    return;
  }
  for (std::size_t i = 0; i < parts.size(); ++i) assign(*target.children[i], parts[i]);
}

void Interpreter::output(const Value& value) {
  print(run_, value, *out_);
  if (out_ == &root_ && root_.bytes.size() > run_.limits.output_bytes) {
    run_.fail("the template writes more than " + std::to_string(run_.limits.output_bytes) + " bytes", "is the conversation too long?");
  }
}

Interpreter::Flow Interpreter::execute(const Block& block) {
  for (const Stmt* stmt : block) {
    const Flow flow = execute(*stmt);
    if (flow != Flow::kNext || run_.failed()) return flow;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute(const Stmt& stmt) {
  const Deeper deeper(*this);
  run_.line = stmt.line;
  if (run_.failed() || !run_.step()) return Flow::kNext;
  switch (stmt.kind) {
    case StmtKind::kData: output(Value::of(stmt.data)); return Flow::kNext;
    case StmtKind::kOutput: {
      const Value value = evaluate(*stmt.value);
      run_.line = stmt.line;
      if (!run_.failed()) output(value);
      return Flow::kNext;
    }
    case StmtKind::kFor: return for_loop(stmt);
    case StmtKind::kIf: return conditional(stmt);
    case StmtKind::kSet: {
      const Value value = evaluate(*stmt.value);
      run_.line = stmt.line;
      if (!run_.failed()) assign(*stmt.target, value);
      return Flow::kNext;
    }
    case StmtKind::kSetBlock:
    case StmtKind::kFilterBlock: return block_with_filters(stmt);
    case StmtKind::kMacro: define(stmt); return Flow::kNext;
    case StmtKind::kCallBlock: call_block(stmt); return Flow::kNext;
    case StmtKind::kWith: return with(stmt);
    case StmtKind::kGeneration: return scoped(stmt.body);
    case StmtKind::kBreak: return Flow::kBreak;
    case StmtKind::kContinue: return Flow::kContinue;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::conditional(const Stmt& stmt) {
  for (const Branch& branch : stmt.branches) {
    const bool holds = branch.condition == nullptr || truthy(evaluate(*branch.condition));
    if (run_.failed()) return Flow::kNext;
    if (holds) return execute(branch.body);
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::scoped(const Block& block) {
  Scope* const before = scope_;
  scope_ = enter(before);
  const Flow flow = execute(block);
  scope_ = before;
  return flow;
}

Interpreter::Flow Interpreter::with(const Stmt& stmt) {
  Scope* const before = scope_;
  Scope* const inner = enter(before);
  std::vector<Value> values;
  for (const Expr* value : stmt.values) values.push_back(evaluate(*value));
  scope_ = inner;
  for (std::size_t i = 0; i < values.size() && !run_.failed(); ++i) assign(*stmt.targets[i], values[i]);
  const Flow flow = run_.failed() ? Flow::kNext : execute(stmt.body);
  scope_ = before;
  return flow;
}

Interpreter::Flow Interpreter::capture(const Block& block, bool new_scope, Value& text) {
  Text captured;
  Text* const before = out_;
  out_ = &captured;
  const Flow flow = new_scope ? scoped(block) : execute(block);
  out_ = before;
  text = run_.text(std::move(captured));
  return flow;
}

Interpreter::Flow Interpreter::block_with_filters(const Stmt& stmt) {
  Value text;
  const Flow flow = capture(stmt.body, true, text);
  if (run_.failed() || flow != Flow::kNext) return flow;
  const Value before = body_;
  body_ = text;
  const Value value = evaluate(*stmt.value);
  body_ = before;
  run_.line = stmt.line;
  if (run_.failed()) return flow;
  if (stmt.kind == StmtKind::kSetBlock) assign(*stmt.target, value);
  else output(value);
  return flow;
}

void Interpreter::define(const Stmt& stmt) {
  if (!run_.charge(sizeof(Macro))) return;
  Value value = Value::of(Kind::kMacro, false);
  value.macro = &macros_.emplace_back(Macro{&stmt, scope_});
  assign(stmt.name, value);
}

void Interpreter::call_block(const Stmt& stmt) {
  const Expr& expr = *stmt.value;
  const Value callee = evaluate(*expr.children[0]);
  Args args = arguments(expr);
  if (run_.failed() || !run_.charge(sizeof(Macro))) return;
  Value caller = Value::of(Kind::kMacro, false);
  caller.macro = &macros_.emplace_back(Macro{&stmt, scope_});
  args.named.emplace_back("caller", caller);
  run_.line = stmt.line;
  const Value text = call(expr, callee, args);
  if (!run_.failed()) output(text);
}

bool Interpreter::pull(Loop& loop, Value& item) {
  while (loop.next < loop.items.size() && !run_.failed()) {
    item = loop.items[loop.next++];
    if (loop.statement->condition == nullptr) return run_.step();
    Scope* const before = scope_;
    scope_ = enter(loop.outer);
    assign(*loop.statement->target, item);
    const bool wanted = !run_.failed() && truthy(evaluate(*loop.statement->condition));
    scope_ = before;
    if (wanted) return !run_.failed();
  }
  return false;
}

Interpreter::Flow Interpreter::for_loop(const Stmt& stmt) {
  const Value source = evaluate(*stmt.value);
  run_.line = stmt.line;
  if (run_.failed()) return Flow::kNext;
  if (!run_.charge(sizeof(Loop))) return Flow::kNext;
  Scope* const before = scope_;
  Loop& loop = loops_.emplace_back();
  loop.statement = &stmt;
  loop.outer = before;
  loop.items = iterate(run_, source);
  Value shown = Value::of(Kind::kLoop, false);
  shown.loop = &loop;
  Flow flow = Flow::kNext;
  bool any = false;
  for (Value item; !run_.failed(); ++loop.index0) {
    if (!loop.ahead.empty()) {
      item = loop.ahead.front();
      loop.ahead.pop_front();
    } else if (!pull(loop, item)) {
      break;
    }
    loop.previous = any ? loop.current : Value();
    loop.current = item;
    any = true;
    scope_ = enter(before);
    assign("loop", shown);
    assign(*stmt.target, item);
    if (!run_.failed()) flow = execute(stmt.body);
    scope_ = before;
    if (flow == Flow::kBreak) break;
  }
  loop.items.clear();
  loop.items.shrink_to_fit();
  if (!any && !run_.failed()) return scoped(stmt.otherwise);
  return Flow::kNext;
}

}  // namespace precept::jinja
