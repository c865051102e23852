#include "precept/store/answer_store.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "precept/core/io.h"
#include "precept/core/strict_json.h"
#include "precept/store/sqlite.h"

namespace precept {
namespace {

using nlohmann::json;

constexpr int kApplication = 0x50524341;  // "PRCA"
constexpr int kFormat = 1;

constexpr char kSchema[] = R"sql(
CREATE TABLE answer (
  endpoint TEXT NOT NULL,
  serves TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  request TEXT NOT NULL,
  answer TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  time_ms INTEGER NOT NULL,
  PRIMARY KEY (request, endpoint, serves, fingerprint)) WITHOUT ROWID;
CREATE TABLE endpoint (url TEXT PRIMARY KEY, serves TEXT NOT NULL, fingerprint TEXT NOT NULL, scores INTEGER) WITHOUT ROWID;
CREATE TABLE spent (only INTEGER PRIMARY KEY, prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL);
INSERT INTO spent VALUES (1, 0, 0, 0);
)sql";

tl::unexpected<Error> damaged(const std::string& file) {
  return bad_input("damaged: an answer cannot be read", "restore the file from a copy, or remove it: what it holds is then asked again", file);
}

json numbers(const std::vector<double>& values) {
  json list = json::array();
  for (const double value : values) list.push_back(std::isfinite(value) ? json(value) : json());  // null: impossible
  return list;
}

}  // namespace

struct AnswerStore::Impl {
  std::string file;
  sql::Database db;
  mutable sql::Statement find, insert, add, sum, find_endpoint, insert_endpoint;

  Status create() {
    const std::string text = "BEGIN IMMEDIATE; PRAGMA application_id = " + std::to_string(kApplication) +
                             "; PRAGMA user_version = " + std::to_string(kFormat) + ";" + kSchema + "COMMIT";
    return sql::execute(db.get(), text.c_str(), file);
  }
  Status check_format() const {
    const auto application = sql::query_integer(db.get(), "PRAGMA application_id", file);
    if (!application) return tl::unexpected<Error>(application.error());
    const auto version = sql::query_integer(db.get(), "PRAGMA user_version", file);
    if (!version) return tl::unexpected<Error>(version.error());
    if (*application != kApplication) return bad_input("is a database of another program", "give another run folder", file);
    if (*version != kFormat) {
      return bad_input("has answer format " + std::to_string(*version) + ", this program writes " + std::to_string(kFormat),
                       "use the version of precept that wrote it, or remove it: what it holds is then asked again", file);
    }
    return {};
  }
  Status prepare() {
    const std::pair<sql::Statement*, const char*> statements[] = {
        {&find, "SELECT answer, prompt_tokens, output_tokens FROM answer "
                "WHERE request = ? AND endpoint = ? AND serves = ? AND fingerprint = ?"},
        {&insert, "INSERT OR IGNORE INTO answer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"},
        {&add, "UPDATE spent SET prompt_tokens = prompt_tokens + ?, cached_tokens = cached_tokens + ?, "
               "output_tokens = output_tokens + ?"},
        {&sum, "SELECT prompt_tokens, cached_tokens, output_tokens FROM spent"},
        {&find_endpoint, "SELECT url, serves, fingerprint, scores FROM endpoint WHERE url = ?"},
        {&insert_endpoint, "INSERT OR REPLACE INTO endpoint VALUES (?, ?, ?, ?)"}};
    for (const auto& [statement, text] : statements) {
      if (Status status = statement->prepare(db.get(), text, file); !status) return status;
    }
    return {};
  }

  // The stored JSON with its usage, which is what a repetition costs: nothing but cached tokens.
  Result<std::optional<std::pair<json, Usage>>> look(const AnswerKey& key) const {
    const sql::Use use(find);
    find.bind(1, std::string_view(key.request));
    find.bind(2, std::string_view(key.endpoint));
    find.bind(3, std::string_view(key.serves));
    find.bind(4, std::string_view(key.fingerprint));
    const auto row = find.step();
    if (!row) return tl::unexpected<Error>(row.error());
    if (!*row) return std::optional<std::pair<json, Usage>>();
    auto answer = parse_json_object(find.text(0), file, 0);
    if (!answer) return damaged(file);
    return std::optional(std::pair(std::move(*answer), Usage{find.integer(1), find.integer(1), find.integer(2)}));
  }

  Status put_spent(const Usage& spent) {
    const sql::Use use(add);
    add.bind(1, spent.prompt_tokens);
    add.bind(2, spent.cached_tokens);
    add.bind(3, spent.output_tokens);
    return add.run();
  }

  Status put(const AnswerKey& key, const json& answer, const Usage& usage, const Usage& spent) {
    const std::string text = answer.dump(-1, ' ', false, json::error_handler_t::replace);
    if (Status status = sql::execute(db.get(), "BEGIN IMMEDIATE", file); !status) return status;
    Status status = put_row(key, text, usage);
    if (status) status = put_spent(spent);
    if (status) status = sql::execute(db.get(), "COMMIT", file);
    if (!status) sqlite3_exec(db.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    return status;
  }

  Status put_row(const AnswerKey& key, const std::string& text, const Usage& usage) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const sql::Use use(insert);
    insert.bind(1, std::string_view(key.endpoint));
    insert.bind(2, std::string_view(key.serves));
    insert.bind(3, std::string_view(key.fingerprint));
    insert.bind(4, std::string_view(key.request));
    insert.bind(5, std::string_view(text));
    insert.bind(6, usage.prompt_tokens);
    insert.bind(7, usage.cached_tokens);
    insert.bind(8, usage.output_tokens);
    insert.bind(9, static_cast<std::int64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()));
    return insert.run();
  }
};

AnswerStore::AnswerStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AnswerStore::AnswerStore(AnswerStore&&) noexcept = default;
AnswerStore& AnswerStore::operator=(AnswerStore&&) noexcept = default;
AnswerStore::~AnswerStore() = default;

Result<AnswerStore> AnswerStore::open(const std::string& folder) {
  if (Status status = make_folder(folder); !status) return tl::unexpected<Error>(status.error());
  auto impl = std::make_unique<Impl>();
  impl->file = folder + "/answers.db";
  auto db = sql::open(impl->file, false, false);
  if (!db) return tl::unexpected<Error>(db.error());
  impl->db = std::move(*db);
  const auto tables = sql::query_integer(impl->db.get(), "SELECT count(*) FROM sqlite_master", impl->file);
  if (!tables) return tl::unexpected<Error>(tables.error());
  Status status;
  if (*tables > 0) status = impl->check_format();
  // NORMAL: a commit is a write without a sync, which a kill does not undo.
  if (status) {
    status = sql::execute(impl->db.get(), "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -4000", impl->file);
  }
  if (status && *tables == 0) status = impl->create();
  if (status) status = impl->prepare();
  if (!status) return tl::unexpected<Error>(status.error());
  return AnswerStore(std::move(impl));
}

Result<std::optional<Generation>> AnswerStore::find_generation(const AnswerKey& key) const {
  auto found = impl_->look(key);
  if (!found) return tl::unexpected<Error>(found.error());
  if (!*found) return std::optional<Generation>();
  const auto& [answer, usage] = **found;
  const auto text = answer.find("text"), length = answer.find("cut"), logprobs = answer.find("logprobs");
  if (text == answer.end() || !text->is_string() || length == answer.end() || !length->is_boolean() ||
      (logprobs != answer.end() && !logprobs->is_array())) {
    return damaged(impl_->file);
  }
  Generation out;
  out.text = text->get<std::string>();
  out.finish = length->get<bool>() ? Finish::kLength : Finish::kStop;
  out.usage = usage;
  out.by = {key.endpoint, key.fingerprint};
  if (logprobs != answer.end()) {
    for (const json& value : *logprobs) {
      if (!value.is_number() && !value.is_null()) return damaged(impl_->file);
      out.logprobs.push_back(value.is_null() ? -std::numeric_limits<float>::infinity() : value.get<float>());
    }
  }
  return std::optional(std::move(out));
}

Result<std::optional<Scores>> AnswerStore::find_scores(const AnswerKey& key) const {
  auto found = impl_->look(key);
  if (!found) return tl::unexpected<Error>(found.error());
  if (!*found) return std::optional<Scores>();
  const auto& [answer, usage] = **found;
  const auto scores = answer.find("scores");
  if (scores == answer.end() || !scores->is_array()) return damaged(impl_->file);
  Scores out;
  out.usage = usage;
  out.by = {key.endpoint, key.fingerprint};
  for (const json& question : *scores) {
    if (!question.is_array()) return damaged(impl_->file);
    std::vector<double>& options = out.logprobs.emplace_back();
    for (const json& value : question) {
      if (!value.is_number() && !value.is_null()) return damaged(impl_->file);
      options.push_back(value.is_null() ? -std::numeric_limits<double>::infinity() : value.get<double>());
    }
  }
  return std::optional(std::move(out));
}

Status AnswerStore::put(const AnswerKey& key, const Generation& answer, const Usage& spent) {
  json out = {{"text", answer.text}, {"cut", answer.finish == Finish::kLength}};
  if (!answer.logprobs.empty()) out["logprobs"] = numbers({answer.logprobs.begin(), answer.logprobs.end()});
  return impl_->put(key, out, answer.usage, spent);
}

Status AnswerStore::put(const AnswerKey& key, const Scores& answer, const Usage& spent) {
  json scores = json::array();
  for (const auto& question : answer.logprobs) scores.push_back(numbers(question));
  return impl_->put(key, {{"scores", std::move(scores)}}, answer.usage, spent);
}

Status AnswerStore::put_spent(const Usage& spent) { return impl_->put_spent(spent); }

Result<Usage> AnswerStore::spent() const {
  const sql::Use use(impl_->sum);
  const auto row = impl_->sum.step();
  if (!row) return tl::unexpected<Error>(row.error());
  if (!*row) return damaged(impl_->file);
  return Usage{impl_->sum.integer(0), impl_->sum.integer(1), impl_->sum.integer(2)};
}

Result<std::optional<EndpointRecord>> AnswerStore::endpoint(const std::string& url) const {
  sql::Statement& row = impl_->find_endpoint;
  const sql::Use use(row);
  row.bind(1, std::string_view(url));
  const auto there = row.step();
  if (!there) return tl::unexpected<Error>(there.error());
  if (!*there) return std::optional<EndpointRecord>();
  EndpointRecord record{row.text(0), row.text(1), row.text(2), std::nullopt};
  if (!row.is_null(3)) record.scores = row.integer(3) != 0;
  return std::optional(std::move(record));
}

Status AnswerStore::set_endpoint(const EndpointRecord& record) {
  sql::Statement& row = impl_->insert_endpoint;
  const sql::Use use(row);
  row.bind(1, std::string_view(record.url));
  row.bind(2, std::string_view(record.serves));
  row.bind(3, std::string_view(record.fingerprint));
  if (record.scores) {
    row.bind(4, static_cast<std::int64_t>(*record.scores ? 1 : 0));
  } else {
    row.bind_null(4);
  }
  return row.run();
}

}  // namespace precept
