#include "precept/store/run_store.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <tuple>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/store/sqlite.h"
#include "precept/store/step_codec.h"

namespace precept {
namespace {

constexpr int kApplication = 0x50524350;  // "PRCP", in the file's header
constexpr int kFormat = 1;

constexpr char kSchema[] = R"sql(
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE item (
  ordinal INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  messages TEXT NOT NULL,
  tags TEXT NOT NULL,
  ending TEXT NOT NULL DEFAULT 'pending',
  reason TEXT NOT NULL DEFAULT '');
CREATE TABLE step (
  item INTEGER NOT NULL,
  round INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  principles TEXT NOT NULL,
  inputs TEXT NOT NULL,
  text TEXT NOT NULL,
  verdicts TEXT NOT NULL,
  logprob REAL,
  cut INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  seed INTEGER NOT NULL,
  model TEXT NOT NULL,
  time_ms INTEGER NOT NULL,
  PRIMARY KEY (item, round, kind)) WITHOUT ROWID;
)sql";

constexpr Ending kEndings[] = {Ending::kPending,   Ending::kComplied,    Ending::kRevised,
                               Ending::kUnsettled, Ending::kUnparseable, Ending::kFailed};

tl::unexpected<Error> pass(const Status& status) { return tl::unexpected<Error>(status.error()); }

// A file descriptor that holds the folder's lock until it is closed, also by a SIGKILL.
class Lock {
 public:
  Lock() = default;
  explicit Lock(int fd) : fd_(fd) {}
  Lock(Lock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Lock& operator=(Lock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Lock() {
    if (fd_ >= 0) ::close(fd_);
  }

 private:
  int fd_ = -1;
};

Result<Lock> lock_folder(const std::string& folder) {
  const std::string path = folder + "/run.lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    return failed(std::string("the run folder cannot be written: ") + std::strerror(errno),
                     "check its permissions, or give another run folder", folder);
  }
  Lock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return bad_input("another process works on this run", "wait for it to finish, or give another run folder", folder);
    }
    return failed(std::string("cannot lock the run folder: ") + std::strerror(errno),
                  "use a file system that has locks", folder);
  }
  return lock;
}

}  // namespace

const char* step_name(StepKind kind) {
  switch (kind) {
    case StepKind::kSelect: return "select";
    case StepKind::kDraft: return "draft";
    case StepKind::kJudge: return "judge";
    case StepKind::kCritique: return "critique";
    case StepKind::kRevision: return "revision";
    case StepKind::kReason: return "reason";
    case StepKind::kCompare: return "compare";
  }
  return "unknown";
}

const char* verdict_name(StepKind kind, Verdict::Value value) {
  if (value == Verdict::Value::kUnparseable) return "unparseable";
  const bool yes = value == Verdict::Value::kYes;
  if (kind == StepKind::kSelect) return yes ? "applies" : "does not apply";
  if (kind == StepKind::kCompare) return yes ? "first" : "second";
  return yes ? "violates" : "complies";
}

const char* ending_name(Ending ending) {
  switch (ending) {
    case Ending::kPending: return "pending";
    case Ending::kComplied: return "complied";
    case Ending::kRevised: return "revised";
    case Ending::kUnsettled: return "unsettled";
    case Ending::kUnparseable: return "unparseable";
    case Ending::kFailed: return "failed";
  }
  return "unknown";
}

struct RunStore::Impl {
  std::string folder, file, recipe_text;
  Lock lock;
  sql::Database db;
  mutable sql::Statement next_item, item_steps, insert_step, update_item;
  bool writing = false;         // a transaction is open
  std::optional<Error> broken;  // the first failed write: nothing is written after it

  Error damaged(Error error) const {
    if (error.file.empty()) error.file = file;
    return error;
  }
  Status fail(Error error) {
    broken = error;
    if (writing) sqlite3_exec(db.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    writing = false;
    return tl::unexpected<Error>(std::move(error));
  }
  Status begin() {
    if (broken) return tl::unexpected<Error>(*broken);
    if (writing) return {};
    if (Status status = sql::execute(db.get(), "BEGIN IMMEDIATE", file); !status) return fail(status.error());
    writing = true;
    return {};
  }

  Result<std::string> meta(const char* key) const;
  Status set_meta(const char* key, std::string_view value);
  Status check_format() const;
  Status create(const std::string& recipe);
  Status forget(const std::string& recipe);
  Status prepare();
  Result<RunItem> read_item(sql::Statement& row) const;
  Result<StepRecord> read_step(sql::Statement& row) const;
};

Result<std::string> RunStore::Impl::meta(const char* key) const {
  sql::Statement select;
  if (Status status = select.prepare(db.get(), "SELECT value FROM meta WHERE key = ?", file); !status) {
    return pass(status);
  }
  select.bind(1, std::string_view(key));
  const auto row = select.step();
  if (!row) return tl::unexpected<Error>(row.error());
  return *row ? select.text(0) : std::string();
}

Status RunStore::Impl::set_meta(const char* key, std::string_view value) {
  sql::Statement insert;
  if (Status status = insert.prepare(db.get(), "INSERT OR REPLACE INTO meta VALUES (?, ?)", file); !status) {
    return status;
  }
  insert.bind(1, std::string_view(key));
  insert.bind(2, value);
  return insert.run();
}

// Refuses databases of other programs and of other versions of ours.
Status RunStore::Impl::check_format() const {
  const auto application = sql::query_integer(db.get(), "PRAGMA application_id", file);
  if (!application) return tl::unexpected<Error>(application.error());
  if (*application != kApplication) {
    return bad_input("is a database of another program", "give another run folder", file);
  }
  const auto version = sql::query_integer(db.get(), "PRAGMA user_version", file);
  if (!version) return tl::unexpected<Error>(version.error());
  if (*version != kFormat) {
    return bad_input("has run format " + std::to_string(*version) + ", this program writes " + std::to_string(kFormat),
                     "use the version of precept that began the run, or give another run folder", file);
  }
  return {};
}

Status RunStore::Impl::create(const std::string& recipe) {
  if (Status status = begin(); !status) return status;
  const std::string header = "PRAGMA application_id = " + std::to_string(kApplication) +
                             "; PRAGMA user_version = " + std::to_string(kFormat);
  if (Status status = sql::execute(db.get(), header.c_str(), file); !status) return fail(status.error());
  if (Status status = sql::execute(db.get(), kSchema, file); !status) return fail(status.error());
  if (Status status = set_meta("recipe", recipe); !status) return fail(status.error());
  if (Status status = sql::execute(db.get(), "COMMIT", file); !status) return fail(status.error());
  writing = false;
  return {};
}

// Items and steps go; a new run with `recipe` begins.
Status RunStore::Impl::forget(const std::string& recipe) {
  if (Status status = begin(); !status) return status;
  const char* const clear = "DELETE FROM step; DELETE FROM item; DELETE FROM meta";
  if (Status status = sql::execute(db.get(), clear, file); !status) return fail(status.error());
  if (Status status = set_meta("recipe", recipe); !status) return fail(status.error());
  if (Status status = sql::execute(db.get(), "COMMIT", file); !status) return fail(status.error());
  writing = false;
  return {};
}

Status RunStore::Impl::prepare() {
  const std::pair<sql::Statement*, const char*> statements[] = {
      {&next_item,
       "SELECT ordinal, id, messages, tags, ending, reason FROM item "
       "WHERE ordinal >= ? AND ending IN ('pending', 'failed') ORDER BY ordinal LIMIT 1"},
      {&item_steps,
       "SELECT item, round, kind, principles, inputs, text, verdicts, logprob, cut, prompt_tokens, "
       "cached_tokens, output_tokens, seed, model, time_ms FROM step WHERE item = ? ORDER BY round, kind"},
      {&insert_step, "INSERT INTO step VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
      {&update_item, "UPDATE item SET ending = ?, reason = ? WHERE ordinal = ?"}};
  for (const auto& [statement, text] : statements) {
    if (Status status = statement->prepare(db.get(), text, file); !status) return status;
  }
  return {};
}

Result<RunItem> RunStore::Impl::read_item(sql::Statement& row) const {
  RunItem item;
  item.ordinal = row.integer(0);
  item.id = row.text(1);
  auto messages = decode_messages(row.text(2));
  if (!messages) return tl::unexpected<Error>(damaged(messages.error()));
  auto tags = decode_strings(row.text(3));
  if (!tags) return tl::unexpected<Error>(damaged(tags.error()));
  item.messages = std::move(*messages);
  item.tags = std::move(*tags);
  const std::string name = row.text(4);
  const auto ending = std::find_if(std::begin(kEndings), std::end(kEndings),
                                   [&](Ending each) { return name == ending_name(each); });
  if (ending == std::end(kEndings)) {
    return bad_input("damaged run database: an unknown ending", "restore the file from a copy", file);
  }
  item.ending = *ending;
  item.reason = row.text(5);
  return item;
}

Result<StepRecord> RunStore::Impl::read_step(sql::Statement& row) const {
  StepRecord step;
  step.item = row.integer(0);
  step.round = static_cast<int>(row.integer(1));
  const std::int64_t kind = row.integer(2);
  if (kind < 0 || kind >= kStepKinds) {
    return bad_input("damaged run database: an unknown step", "restore the file from a copy", file);
  }
  step.kind = static_cast<StepKind>(kind);
  auto principles = decode_strings(row.text(3));
  if (!principles) return tl::unexpected<Error>(damaged(principles.error()));
  auto verdicts = decode_verdicts(step.kind, row.text(6));
  if (!verdicts) return tl::unexpected<Error>(damaged(verdicts.error()));
  step.principles = std::move(*principles);
  step.verdicts = std::move(*verdicts);
  step.inputs = row.text(4);
  step.text = row.text(5);
  if (!row.is_null(7)) step.logprob = row.real(7);
  step.cut = row.integer(8) != 0;
  step.usage = {row.integer(9), row.integer(10), row.integer(11)};
  step.seed = static_cast<std::uint64_t>(row.integer(12));
  step.model = row.text(13);
  step.time_ms = row.integer(14);
  return step;
}

RunStore::RunStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RunStore::RunStore(RunStore&&) noexcept = default;
RunStore& RunStore::operator=(RunStore&&) noexcept = default;
RunStore::~RunStore() = default;  // closing rolls back what was not committed

Result<RunStore> RunStore::open(const std::string& folder, const std::string& recipe, bool anew) {
  if (Status status = make_folder(folder); !status) return pass(status);
  auto impl = std::make_unique<Impl>();
  impl->folder = folder;
  impl->file = folder + "/run.db";
  auto lock = lock_folder(folder);
  if (!lock) return tl::unexpected<Error>(lock.error());
  impl->lock = std::move(*lock);
  auto db = sql::open(impl->file, false, false);
  if (!db) return tl::unexpected<Error>(db.error());
  impl->db = std::move(*db);

  const auto tables = sql::query_integer(impl->db.get(), "SELECT count(*) FROM sqlite_master", impl->file);
  if (!tables) return tl::unexpected<Error>(tables.error());
  if (*tables > 0) {
    if (Status status = impl->check_format(); !status) return pass(status);
  }
  if (Status status = sql::execute(impl->db.get(), "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
                                   "PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -16000",
                                   impl->file);
      !status) {
    return pass(status);
  }
  if (*tables == 0) {
    if (Status status = impl->create(recipe); !status) return pass(status);
  }
  if (Status status = impl->prepare(); !status) return pass(status);
  if (anew && *tables > 0) {
    if (Status status = impl->forget(recipe); !status) return pass(status);
  }
  auto stored = impl->meta("recipe");
  if (!stored) return tl::unexpected<Error>(stored.error());
  impl->recipe_text = std::move(*stored);
  if (const auto lines = recipe_difference(impl->recipe_text, recipe); !lines.empty()) {
    std::string what = "this run began with another recipe";
    for (std::size_t i = 0; i < lines.size(); ++i) {
      what += (i == 0 ? ": " : "; ") + std::string(utf8_prefix(lines[i], 200));
    }
    return bad_input(std::move(what), "go back to its recipe, or give another run folder", folder);
  }
  return RunStore(std::move(impl));
}

Result<RunStore> RunStore::open_readonly(const std::string& folder) {
  auto impl = std::make_unique<Impl>();
  impl->folder = folder;
  impl->file = folder + "/run.db";
  struct stat found {};
  if (::stat(impl->file.c_str(), &found) != 0) {
    return bad_input("no run here: run.db is missing", "give the folder that `precept revise --run` wrote", folder);
  }
  // A folder that cannot be written has no place for the files a WAL reader shares with a writer;
  // when no log is left over, the database is whole by itself.
  const bool log_left = ::stat((impl->file + "-wal").c_str(), &found) == 0 && found.st_size > 0;
  const bool immutable = !log_left && ::access(folder.c_str(), W_OK) != 0;
  auto db = sql::open(impl->file, true, immutable);
  if (!db) return tl::unexpected<Error>(db.error());
  impl->db = std::move(*db);
  if (Status status = impl->check_format(); !status) return pass(status);
  if (Status status = impl->prepare(); !status) return pass(status);
  auto stored = impl->meta("recipe");
  if (!stored) return tl::unexpected<Error>(stored.error());
  impl->recipe_text = std::move(*stored);
  impl->broken = Error{"opened for reading only", "", impl->file, 0, ErrorKind::kFailed};
  return RunStore(std::move(impl));
}

const std::string& RunStore::recipe() const { return impl_->recipe_text; }

Result<std::int64_t> RunStore::item_count() const {
  return sql::query_integer(impl_->db.get(), "SELECT count(*) FROM item", impl_->file);
}

Result<std::int64_t> RunStore::open_count() const {
  return sql::query_integer(impl_->db.get(), "SELECT count(*) FROM item WHERE ending IN ('pending', 'failed')",
                            impl_->file);
}

Status RunStore::set_items(const std::vector<RunItem>& items) {
  Impl& impl = *impl_;
  Sha256 hash;
  for (const RunItem& item : items) {
    hash.update(item.id + '\n' + encode_messages(item.messages) + '\n' + encode_strings(item.tags) + '\n');
  }
  const std::string digest = hash.finish();
  const auto stored = impl.meta("items");
  if (!stored) return tl::unexpected<Error>(stored.error());
  if (*stored == digest) return {};
  if (!stored->empty()) {
    const auto count = item_count();
    if (!count) return tl::unexpected<Error>(count.error());
    return bad_input("this run began with other prompts (" + std::to_string(*count) + ", now " +
                         std::to_string(items.size()) + ")",
                     "go back to its prompts, or give another run folder", impl.folder);
  }
  sql::Statement insert;
  if (Status status = insert.prepare(impl.db.get(), "INSERT INTO item (ordinal, id, messages, tags) VALUES (?, ?, ?, ?)",
                                     impl.file);
      !status) {
    return status;
  }
  if (Status status = impl.begin(); !status) return status;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string messages = encode_messages(items[i].messages), tags = encode_strings(items[i].tags);
    const sql::Use use(insert);
    insert.bind(1, static_cast<std::int64_t>(i));
    insert.bind(2, std::string_view(items[i].id));
    insert.bind(3, std::string_view(messages));
    insert.bind(4, std::string_view(tags));
    if (Status status = insert.run(); !status) return impl.fail(status.error());
  }
  if (Status status = impl.set_meta("items", digest); !status) return impl.fail(status.error());
  return commit();
}

Result<std::optional<RunItem>> RunStore::next_open_item(std::int64_t from) const {
  const sql::Use use(impl_->next_item);
  impl_->next_item.bind(1, from);
  const auto row = impl_->next_item.step();
  if (!row) return tl::unexpected<Error>(row.error());
  if (!*row) return std::optional<RunItem>();
  auto item = impl_->read_item(impl_->next_item);
  if (!item) return tl::unexpected<Error>(item.error());
  return std::optional<RunItem>(std::move(*item));
}

Result<std::vector<StepRecord>> RunStore::steps(std::int64_t item) const {
  std::vector<StepRecord> steps;
  const sql::Use use(impl_->item_steps);
  impl_->item_steps.bind(1, item);
  while (true) {
    const auto row = impl_->item_steps.step();
    if (!row) return tl::unexpected<Error>(row.error());
    if (!*row) break;
    auto step = impl_->read_step(impl_->item_steps);
    if (!step) return tl::unexpected<Error>(step.error());
    steps.push_back(std::move(*step));
  }
  // As they happened: a round ends with its judgment.
  std::stable_sort(steps.begin(), steps.end(), [](const StepRecord& a, const StepRecord& b) {
    const auto when = [](const StepRecord& each) {
      return std::tuple(each.round, each.kind == StepKind::kJudge, each.kind);
    };
    return when(a) < when(b);
  });
  return steps;
}

Status RunStore::put(const StepRecord& step) {
  if (Status status = impl_->begin(); !status) return status;
  const std::string principles = encode_strings(step.principles), verdicts = encode_verdicts(step.kind, step.verdicts);
  sql::Statement& row = impl_->insert_step;
  const sql::Use use(row);
  row.bind(1, step.item);
  row.bind(2, static_cast<std::int64_t>(step.round));
  row.bind(3, static_cast<std::int64_t>(step.kind));
  row.bind(4, std::string_view(principles));
  row.bind(5, std::string_view(step.inputs));
  row.bind(6, std::string_view(step.text));
  row.bind(7, std::string_view(verdicts));
  if (step.logprob && std::isfinite(*step.logprob)) {
    row.bind(8, *step.logprob);
  } else {
    row.bind_null(8);
  }
  row.bind(9, static_cast<std::int64_t>(step.cut ? 1 : 0));
  row.bind(10, step.usage.prompt_tokens);
  row.bind(11, step.usage.cached_tokens);
  row.bind(12, step.usage.output_tokens);
  row.bind(13, static_cast<std::int64_t>(step.seed));
  row.bind(14, std::string_view(step.model));
  row.bind(15, step.time_ms);
  if (Status status = row.run(); !status) return impl_->fail(status.error());
  return {};
}

Status RunStore::finish(std::int64_t item, Ending ending, const std::string& reason) {
  if (Status status = impl_->begin(); !status) return status;
  sql::Statement& row = impl_->update_item;
  const sql::Use use(row);
  row.bind(1, std::string_view(ending_name(ending)));
  row.bind(2, std::string_view(reason));
  row.bind(3, item);
  if (Status status = row.run(); !status) return impl_->fail(status.error());
  return {};
}

Status RunStore::commit() {
  if (impl_->broken) return tl::unexpected<Error>(*impl_->broken);
  if (!impl_->writing) return {};
  if (Status status = sql::execute(impl_->db.get(), "COMMIT", impl_->file); !status) {
    return impl_->fail(status.error());
  }
  impl_->writing = false;
  return {};
}

Status RunStore::visit_items(const std::function<bool(const RunItem&)>& visitor) const {
  sql::Statement all;
  if (Status status = all.prepare(impl_->db.get(),
                                  "SELECT ordinal, id, messages, tags, ending, reason FROM item ORDER BY ordinal",
                                  impl_->file);
      !status) {
    return status;
  }
  while (true) {
    const auto row = all.step();
    if (!row) return tl::unexpected<Error>(row.error());
    if (!*row) return {};
    const auto item = impl_->read_item(all);
    if (!item) return tl::unexpected<Error>(item.error());
    if (!visitor(*item)) return {};
  }
}

Status RunStore::visit(const Visitor& visitor) const {
  Status status;
  const Status visited = visit_items([&](const RunItem& item) {
    const auto made = steps(item.ordinal);
    if (made) return visitor(item, *made);
    status = pass(Status(tl::unexpected<Error>(made.error())));
    return false;
  });
  return visited ? status : visited;
}

Status RunStore::limit_pages(std::int64_t pages) {
  return sql::execute(impl_->db.get(), ("PRAGMA max_page_count = " + std::to_string(pages)).c_str(), impl_->file);
}

std::vector<std::string> recipe_difference(std::string_view was, std::string_view now) {
  const auto lines_of = [](std::string_view text) {
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      if (end > at) lines.emplace_back(text.substr(at, end - at));
      at = end + 1;
    }
    return lines;
  };
  const auto key_of = [](const std::string& line) { return line.substr(0, line.find(" = ")); };
  const auto old_lines = lines_of(was), new_lines = lines_of(now);
  const auto has = [](const std::vector<std::string>& lines, const std::string& line) {
    return std::find(lines.begin(), lines.end(), line) != lines.end();
  };
  std::vector<std::string> difference;
  for (const std::string& line : old_lines) {
    if (has(new_lines, line)) continue;
    difference.push_back("was: " + line);
    for (const std::string& other : new_lines) {
      if (key_of(other) == key_of(line)) difference.push_back("now: " + other);
    }
  }
  for (const std::string& line : new_lines) {
    const auto same_key = [&](const std::string& other) { return key_of(other) == key_of(line); };
    if (std::none_of(old_lines.begin(), old_lines.end(), same_key)) difference.push_back("now: " + line);
  }
  return difference;
}

}  // namespace precept
