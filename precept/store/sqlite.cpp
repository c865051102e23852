#include "precept/store/sqlite.h"

#include <algorithm>

namespace precept::sql {
namespace {

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// A path inside a file: URI.
std::string percent_encoded(const std::string& path) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
                       c == '.' || c == '-' || c == '_';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace

Error error_of(sqlite3* db, int code, const std::string& file) {
  Error error;
  error.file = file;
  error.kind = ErrorKind::kFailed;
  const std::string detail = one_line(db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
  switch (code & 0xff) {
    case SQLITE_FULL:
      error.what = "the disk is full";
      error.hint = "free some space and run again: it goes on where it stopped";
      break;
    case SQLITE_IOERR:
      error.what = "reading or writing failed: " + detail;
      error.hint = "check free space and the disk, then run again: it goes on where it stopped";
      break;
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      error.what = "cannot be opened for writing: " + detail;
      error.hint = "check the folder's permissions, or give another run folder";
      error.kind = ErrorKind::kBadInput;
      break;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      error.what = "is not a run database, or it is damaged: " + detail;
      error.hint = "restore the file from a copy, or give another run folder";
      error.kind = ErrorKind::kBadInput;
      break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      error.what = "is in use by another process";
      error.hint = "wait for it to finish, or give another run folder";
      error.kind = ErrorKind::kBadInput;
      break;
    default:
      error.what = "the run store failed: " + detail;
      error.hint = "check the disk, then run again: it goes on where it stopped";
  }
  return error;
}

Status Statement::prepare(sqlite3* db, const char* text, const std::string& file) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(db, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return tl::unexpected<Error>(error_of(db, code, file));
  statement_.reset(statement);
  db_ = db;
  file_ = file;
  return {};
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return tl::unexpected<Error>(error_of(db_, code, file_));
}

Status Statement::run() {
  const auto row = step();
  if (!row) return tl::unexpected<Error>(row.error());
  return {};
}

std::string Statement::text(int column) {
  const void* bytes = sqlite3_column_blob(get(), column);
  const int size = sqlite3_column_bytes(get(), column);
  return bytes ? std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size)) : std::string();
}

Result<Database> open(const std::string& file, bool read_only, bool immutable) {
  sqlite3* raw = nullptr;
  // An absolute path stands behind an empty authority, or "//" at its beginning would name one.
  const std::string uri = (file.rfind('/', 0) == 0 ? "file://" : "file:") + percent_encoded(file) + (immutable ? "?immutable=1" : "");
  const int flags = (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) |
                    SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(uri.c_str(), &raw, flags, nullptr);
  Database db(raw);
  if (code != SQLITE_OK) return tl::unexpected<Error>(error_of(raw, code, file));
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, 2000);
  return db;
}

Status execute(sqlite3* db, const char* text, const std::string& file) {
  const int code = sqlite3_exec(db, text, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return tl::unexpected<Error>(error_of(db, code, file));
  return {};
}

Result<std::int64_t> query_integer(sqlite3* db, const char* text, const std::string& file) {
  Statement statement;
  if (Status status = statement.prepare(db, text, file); !status) return tl::unexpected<Error>(status.error());
  const auto row = statement.step();
  if (!row) return tl::unexpected<Error>(row.error());
  return *row ? statement.integer(0) : 0;
}

}  // namespace precept::sql
