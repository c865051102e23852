#pragma once
// The little of SQLite's C interface that the store needs, with its errors as Error. Inside store/ only.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include <sqlite3.h>

#include "precept/core/result.h"

namespace precept::sql {

// What went wrong with `file` last, in one line with a hint.
Error error_of(sqlite3* db, int code, const std::string& file);

// A prepared statement. bind() counts from 1, columns from 0. A guard (Use) resets it.
class Statement {
 public:
  Statement() = default;
  Status prepare(sqlite3* db, const char* text, const std::string& file);

  void bind(int at, std::int64_t value) { sqlite3_bind_int64(get(), at, value); }
  void bind(int at, double value) { sqlite3_bind_double(get(), at, value); }
  // The bytes must live until the statement is reset.
  void bind(int at, std::string_view value) {
    sqlite3_bind_text64(get(), at, value.data() ? value.data() : "", value.size(), SQLITE_STATIC, SQLITE_UTF8);
  }
  void bind_null(int at) { sqlite3_bind_null(get(), at); }

  Result<bool> step();  // true: there is a row
  Status run();         // for statements without rows

  std::int64_t integer(int column) { return sqlite3_column_int64(get(), column); }
  double real(int column) { return sqlite3_column_double(get(), column); }
  bool is_null(int column) { return sqlite3_column_type(get(), column) == SQLITE_NULL; }
  std::string text(int column);

  void reset() {
    sqlite3_reset(get());
    sqlite3_clear_bindings(get());
  }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  sqlite3_stmt* get() const { return statement_.get(); }
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  sqlite3* db_ = nullptr;
  std::string file_;
};

// Resets a statement at the end of a scope.
struct Use {
  Statement& statement;
  explicit Use(Statement& used) : statement(used) {}
  ~Use() { statement.reset(); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
};

struct Close {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
using Database = std::unique_ptr<sqlite3, Close>;

Result<Database> open(const std::string& file, bool read_only, bool immutable);
Status execute(sqlite3* db, const char* text, const std::string& file);
Result<std::int64_t> query_integer(sqlite3* db, const char* text, const std::string& file);

}  // namespace precept::sql
