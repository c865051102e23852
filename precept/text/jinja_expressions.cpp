// Expressions.

#include <algorithm>

#include "precept/core/quote.h"
#include "precept/text/jinja_builtins.h"
#include "precept/text/jinja_interpreter.h"
#include "precept/text/jinja_operators.h"

namespace precept::jinja {

Value Interpreter::evaluate(const Expr& expr) {
  const Deeper deeper(*this);
  run_.line = expr.line;
  if (run_.failed() || !run_.step()) return {};
  switch (expr.kind) {
    case ExprKind::kConst: return expr.constant;
    case ExprKind::kName: return name(expr);
    case ExprKind::kList:
    case ExprKind::kTuple:
    case ExprKind::kDict: return collection(expr);
    case ExprKind::kNot: {
      const Value value = evaluate(*expr.children[0]);
      return Value::of_bool(!truthy(value), from_input(value));
    }
    case ExprKind::kNeg:
    case ExprKind::kPos: {
      const Value value = evaluate(*expr.children[0]);
      run_.line = expr.line;
      if (run_.failed()) return {};
      const Value negated = negative(run_, value);
      return expr.kind == ExprKind::kNeg ? negated : value;
    }
    case ExprKind::kBinary: {
      const Value left = evaluate(*expr.children[0]), right = evaluate(*expr.children[1]);
      run_.line = expr.line;
      return run_.failed() ? Value() : binary(run_, expr.ops[0], left, right);
    }
    case ExprKind::kAnd:
    case ExprKind::kOr:
    case ExprKind::kConditional: return logical(expr);
    case ExprKind::kCompare: return comparison(expr);
    case ExprKind::kConcat: return concatenation(expr);
    case ExprKind::kAttribute: {
      const Value object = evaluate(*expr.children[0]);
      run_.line = expr.line;
      if (run_.failed()) return {};
      return object.is(Kind::kLoop) ? loop_attribute(*object.loop, expr.name) : attribute(run_, object, expr.name);
    }
    case ExprKind::kItem: {
      const Value object = evaluate(*expr.children[0]), key = evaluate(*expr.children[1]);
      run_.line = expr.line;
      if (run_.failed()) return {};
      if (object.is(Kind::kLoop) && key.is(Kind::kText)) return loop_attribute(*object.loop, key.text->bytes);
      return item(run_, object, key);
    }
    case ExprKind::kSlice: return slice_of(expr);
    case ExprKind::kCall: return call(expr);
    case ExprKind::kFilter: return filter(expr);
    case ExprKind::kTest: return test(expr);
    case ExprKind::kBody: return body_;
  }
  return {};
}

Value Interpreter::name(const Expr& expr) {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    if (!run_.step(1 + scope->names.size() / 16)) return {};
    for (const auto& entry : scope->names) {
      if (entry.first == expr.name) return entry.second;
    }
  }
  return run_.undefined(expr.name);
}

Value Interpreter::collection(const Expr& expr) {
  std::vector<Value> values;
  for (const Expr* child : expr.children) {
    values.push_back(evaluate(*child));
    if (run_.failed()) return {};
  }
  run_.line = expr.line;
  if (expr.kind != ExprKind::kDict) {
    return run_.list(std::move(values), expr.kind == ExprKind::kList ? ListKind::kList : ListKind::kTuple);
  }
  Dict* made = run_.dict();
  for (std::size_t i = 0; i + 1 < values.size() && !run_.failed(); i += 2) put(run_, *made, values[i], values[i + 1]);
  return Value::of(made);
}

Value Interpreter::comparison(const Expr& expr) {
  Value left = evaluate(*expr.children[0]);
  bool holds = true, input = from_input(left);
  for (std::size_t i = 0; i < expr.ops.size() && holds && !run_.failed(); ++i) {
    const Value right = evaluate(*expr.children[i + 1]);
    run_.line = expr.line;
    if (run_.failed()) return {};
    holds = compared(run_, expr.ops[i], left, right);
    input = input || from_input(right);
    left = right;
  }
  return Value::of_bool(holds, input);
}

Value Interpreter::concatenation(const Expr& expr) {
  Text out;
  for (const Expr* child : expr.children) {
    const Value value = evaluate(*child);
    run_.line = expr.line;
    if (run_.failed() || !print(run_, value, out)) return {};
  }
  return run_.text(std::move(out));
}

Value Interpreter::logical(const Expr& expr) {
  const Value first = evaluate(*expr.children[0]);
  if (run_.failed()) return {};
  const bool holds = truthy(first);
  if (expr.kind == ExprKind::kAnd) return holds ? evaluate(*expr.children[1]) : first;
  if (expr.kind == ExprKind::kOr) return holds ? first : evaluate(*expr.children[1]);
  if (holds) return evaluate(*expr.children[1]);
  return expr.children[2] != nullptr ? evaluate(*expr.children[2]) : run_.undefined("the other case of an if");
}

Value Interpreter::slice_of(const Expr& expr) {
  const Value object = evaluate(*expr.children[0]), start = evaluate_or(expr.children[1], {}),
              stop = evaluate_or(expr.children[2], {}), step = evaluate_or(expr.children[3], {});
  run_.line = expr.line;
  return run_.failed() ? Value() : slice(run_, object, start, stop, step);
}

Args Interpreter::arguments(const Expr& expr) {
  Args args;
  for (const Argument& argument : expr.arguments) {
    const Value value = evaluate(*argument.value);
    if (run_.failed()) return args;
    switch (argument.kind) {
      case Argument::kPositional: args.positional.push_back(value); break;
      case Argument::kNamed: args.named.emplace_back(argument.name, value); break;
      case Argument::kStar:
        for (const Value& one : iterate(run_, value)) args.positional.push_back(one);
        break;
      case Argument::kStarStar:
        if (!value.is(Kind::kDict)) {
          run_.fail(std::string("** takes a dict, not a value of type ") + type_name(value), "pass a dict");
          return args;
        }
        if (!run_.step(value.dict->entries.size()) || !run_.charge(value.dict->entries.size() * sizeof(Value))) return args;
        for (const auto& entry : value.dict->entries) {
          if (!entry.first.is(Kind::kText)) run_.fail("a name of an argument is no text", "use texts as keys");
          else args.named.emplace_back(entry.first.text->bytes, entry.second);
          args.names_from_input = args.names_from_input || from_input(entry.first);
        }
    }
  }
  return args;
}

Value Interpreter::filter(const Expr& expr) {
  const Value self = evaluate(*expr.children[0]);
  const Args args = arguments(expr);
  run_.line = expr.line;
  return run_.failed() ? Value() : invoke(run_, *find_filter(expr.name), self, args);
}

Value Interpreter::test(const Expr& expr) {
  const Value self = evaluate(*expr.children[0]);
  const Args args = arguments(expr);
  run_.line = expr.line;
  return run_.failed() ? Value() : invoke(run_, *find_test(expr.name), self, args);
}

Value Interpreter::call(const Expr& expr) {
  const Value callee = evaluate(*expr.children[0]);
  const Args args = arguments(expr);
  run_.line = expr.line;
  return run_.failed() ? Value() : call(expr, callee, args);
}

Value Interpreter::call(const Expr&, const Value& callee, const Args& args) {
  switch (callee.kind) {
    case Kind::kMethod: return callee.method->self.is(Kind::kLoop) ? loop_method(*callee.method, args) : call_method(run_, *callee.method, args);
    case Kind::kFunction: return invoke(run_, *callee.function, {}, args);
    case Kind::kMacro: return call_macro(*callee.macro, args);
    case Kind::kLoop: return run_.fail("recursive loops are not supported", "call a macro from within itself");
    case Kind::kUndefined: {
      const std::string_view name = callee.text != nullptr ? std::string_view(callee.text->bytes) : std::string_view("a value");
      if (name == "strftime_now") {
        if (run_.unasked_now) return invoke(run_, time_function(), {}, args);
        return run_.fail("\"strftime_now\" is undefined: no time was given", "give ChatInput::now");
      }
      return run_.fail(in_quotes(name) + " is undefined, and called", "is the name right? not every function and method of Python is there");
    }
    default: return run_.fail(std::string("a value of type ") + type_name(callee) + " is called", "leave the parentheses out");
  }
}

Value Interpreter::call_macro(const Macro& macro, const Args& args) {
  const Deeper deeper(*this);
  const Stmt& stmt = *macro.statement;
  const std::string shown = "macro " + in_quotes(stmt.name);
  Scope* const before = scope_;
  Scope* const inner = enter(macro.closure);
  if (run_.failed()) return {};
  scope_ = inner;
  std::vector<bool> used(args.named.size(), false);
  const auto fail = [&](std::string what, std::string hint) {
    scope_ = before;
    return run_.fail(std::move(what), std::move(hint));
  };
  for (std::size_t i = 0; i < stmt.parameters.size() && !run_.failed(); ++i) {
    const Parameter& parameter = stmt.parameters[i];
    const auto named = std::find_if(args.named.begin(), args.named.end(), [&](const auto& arg) { return arg.first == parameter.name; });
    if (named != args.named.end()) used[static_cast<std::size_t>(named - args.named.begin())] = true;
    if (i < args.positional.size()) {
      if (named != args.named.end()) return fail(shown + ": the argument " + in_quotes(parameter.name) + " is given twice", "give it once");
      assign(parameter.name, args.positional[i]);
    } else {
      assign(parameter.name, named != args.named.end() ? named->second
                             : parameter.default_value != nullptr ? evaluate(*parameter.default_value)
                                                                  : run_.undefined(parameter.name));
    }
  }
  Dict* rest = run_.dict();
  bool has_caller = false;
  for (std::size_t i = 0; i < args.named.size() && !run_.failed(); ++i) {
    if (used[i]) continue;
    const auto& [name, value] = args.named[i];
    if (name == "caller" && stmt.takes_caller) {
      assign("caller", value);
      has_caller = true;
    } else if (stmt.takes_kwargs) {
      const Value key = run_.text(name, args.names_from_input);
      if (!run_.failed()) put(run_, *rest, key, value);
    } else {
      return fail(shown + " takes no argument called " + in_quotes(name), name == "caller" ? "use caller() in it" : "is the name right?");
    }
  }
  if (stmt.takes_caller && !has_caller) assign("caller", run_.undefined("caller"));
  if (stmt.takes_kwargs) assign("kwargs", Value::of(rest));
  if (args.positional.size() > stmt.parameters.size() && !stmt.takes_varargs) {
    return fail(shown + ": " + std::to_string(args.positional.size()) + " arguments given, at most " + std::to_string(stmt.parameters.size()) + " taken",
                "leave some out");
  }
  if (stmt.takes_varargs) {
    const std::size_t known = std::min(args.positional.size(), stmt.parameters.size());
    assign("varargs", run_.list({args.positional.begin() + static_cast<std::ptrdiff_t>(known), args.positional.end()}, ListKind::kTuple));
  }
  Value text;
  if (!run_.failed()) capture(stmt.body, false, text);
  scope_ = before;
  return text;
}

Value Interpreter::loop_attribute(Loop& loop, std::string_view name) {
  const auto number = [](std::size_t n) { return Value::of_int(static_cast<std::int64_t>(n)); };
  const auto look_ahead = [&](bool all) {
    while ((all || loop.ahead.empty()) && !run_.failed()) {
      Value item;
      const int line = run_.line;
      if (!pull(loop, item) || !run_.charge(sizeof(Value))) break;
      run_.line = line;
      loop.ahead.push_back(item);
    }
  };
  if (name == "index") return number(loop.index0 + 1);
  if (name == "index0") return number(loop.index0);
  if (name == "first") return Value::of_bool(loop.index0 == 0);
  if (name == "depth") return number(1);
  if (name == "depth0") return number(0);
  if (name == "previtem") return loop.index0 > 0 ? loop.previous : run_.undefined("loop.previtem");
  if (name == "cycle" || name == "changed") {
    Value self = Value::of(Kind::kLoop, false);
    self.loop = &loop;
    return run_.method(self, name == "cycle" ? "cycle" : "changed");
  }
  if (name == "last" || name == "nextitem") {
    look_ahead(false);
    if (name == "last") return Value::of_bool(loop.ahead.empty());
    return loop.ahead.empty() ? run_.undefined("loop.nextitem") : loop.ahead.front();
  }
  if (name == "length" || name == "revindex" || name == "revindex0") {
    look_ahead(true);
    const std::size_t after = loop.ahead.size();
    return number(name == "length" ? loop.index0 + 1 + after : name == "revindex" ? after + 1 : after);
  }
  return run_.fail("a loop has no attribute " + in_quotes(name),
                   "it has index, index0, revindex, revindex0, first, last, length, previtem, nextitem, cycle and changed");
}

Value Interpreter::loop_method(const Method& method, const Args& args) {
  Loop& loop = *method.self.loop;
  if (method.name == "cycle") {
    if (args.positional.empty()) return run_.fail("loop.cycle: nothing to cycle through", "give the values");
    return args.positional[loop.index0 % args.positional.size()];
  }
  bool same = loop.changed.size() == args.positional.size() && loop.index0 > 0;
  for (std::size_t i = 0; same && i < args.positional.size(); ++i) same = equal(run_, loop.changed[i], args.positional[i]);
  loop.changed = args.positional;
  return Value::of_bool(!same);
}

}  // namespace precept::jinja
