#pragma once
// A parsed template. Nodes lie in the deques of Program and point at each other; freeing them needs no recursion.

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "precept/text/jinja_value.h"

namespace precept::jinja {

enum class Op : std::uint8_t { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow, kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

enum class ExprKind : std::uint8_t {
  kConst,        // constant
  kName,         // name
  kList,         // children
  kTuple,        // children
  kDict,         // children: key, value, key, value ...
  kNot, kNeg, kPos,  // children[0]
  kBinary,       // ops[0]; children: left, right
  kAnd, kOr,     // children: left, right
  kCompare,      // children[0] ops[0] children[1] ops[1] children[2] ...
  kConcat,       // children
  kConditional,  // children: condition, then, otherwise (may be null)
  kAttribute,    // children[0] . name
  kItem,         // children[0] [ children[1] ]
  kSlice,        // children: object, start, stop, step (each of the last three may be null)
  kCall,         // children[0] ( arguments )
  kFilter,       // children[0] | name ( arguments )
  kTest,         // children[0] is name ( arguments )
  kBody          // what a filter or set block holds
};

struct Expr;

struct Argument {
  enum Kind : std::uint8_t { kPositional, kNamed, kStar, kStarStar } kind = kPositional;
  std::string_view name;
  const Expr* value = nullptr;
};

struct Expr {
  ExprKind kind = ExprKind::kConst;
  int line = 0;
  std::size_t depth = 1;  // of the tree below
  Value constant;
  std::string_view name;
  std::vector<const Expr*> children;
  std::vector<Op> ops;
  std::vector<Argument> arguments;
};

enum class StmtKind : std::uint8_t {
  kData, kOutput, kFor, kIf, kSet, kSetBlock, kMacro, kCallBlock, kFilterBlock, kWith, kGeneration, kBreak, kContinue
};

struct Stmt;
using Block = std::vector<const Stmt*>;

struct Branch {
  const Expr* condition = nullptr;  // null: else
  Block body;
};

struct Parameter {
  std::string_view name;
  const Expr* default_value = nullptr;
};

struct Stmt {
  StmtKind kind = StmtKind::kData;
  int line = 0;
  const Text* data = nullptr;
  const Expr* target = nullptr;     // for, set: a name, a tuple, or an attribute of a namespace
  const Expr* value = nullptr;      // output; what a for loop goes over; set; filters of blocks; the call of a call block
  const Expr* condition = nullptr;  // of a for loop
  std::vector<Branch> branches;     // if
  std::vector<const Expr*> targets, values;  // with
  Block body, otherwise;
  std::string_view name;              // macro
  std::vector<Parameter> parameters;  // macro, call block
  bool takes_varargs = false, takes_kwargs = false, takes_caller = false;  // the body names them
};

struct Program {
  std::string file;
  std::deque<std::string> names;
  std::deque<Text> texts;
  std::deque<Expr> exprs;
  std::deque<Stmt> stmts;
  Block body;
};

}  // namespace precept::jinja
