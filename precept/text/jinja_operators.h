#pragma once
// Operators, subscripts and attributes, as Python and Jinja2's sandbox have them.

#include "precept/text/jinja_ast.h"
#include "precept/text/jinja_runtime.h"

namespace precept::jinja {

Value binary(Runtime& run, Op op, const Value& a, const Value& b);  // arithmetic
bool compared(Runtime& run, Op op, const Value& a, const Value& b);
Value negative(Runtime& run, const Value& a);

// object.name: a method, else the entry; object[key]: the entry, else a method; undefined where there is none.
Value attribute(Runtime& run, const Value& object, std::string_view name);
Value item(Runtime& run, const Value& object, const Value& key);
// Each bound undefined or none where it is left out.
Value slice(Runtime& run, const Value& object, const Value& start, const Value& stop, const Value& step);

// "a.0.b", as filters take it; `missing`, if it is defined, stands for what is not there.
Value path(Runtime& run, const Value& object, const Value& attribute, const Value& missing = {});

}  // namespace precept::jinja
