#include "precept/store/run_store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

namespace precept {
namespace {

namespace fs = std::filesystem;

class Store : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "precept-store-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    folder_ = root_ + "/run";
  }
  void TearDown() override {
    std::error_code ignored;
    fs::permissions(folder_, fs::perms::owner_all, ignored);
    fs::remove_all(root_, ignored);
  }
  RunStore open(const std::string& recipe = "seed = 1\n") {
    auto store = RunStore::open(folder_, recipe);
    EXPECT_TRUE(store.has_value()) << (store ? "" : store.error().message());
    return std::move(*store);
  }
  std::string error_of_open(const std::string& recipe = "seed = 1\n") {
    const auto store = RunStore::open(folder_, recipe);
    EXPECT_FALSE(store.has_value());
    if (store) return {};
    EXPECT_EQ(store.error().message().find('\n'), std::string::npos);
    EXPECT_FALSE(store.error().hint.empty());
    return store.error().what;
  }

  std::string root_, folder_;
};

std::vector<RunItem> three_items() {
  std::vector<RunItem> items(3);
  items[0].id = "a";
  items[0].messages = {{"user", "Hello \"you\"\n"}};
  items[1].id = "b";
  items[1].messages = {{"system", "S"}, {"user", "你好"}};
  items[1].tags = {"x", "y"};
  items[2].id = "c";
  items[2].messages = {{"user", std::string("nul \0 inside", 12)}};
  return items;
}

StepRecord step_of(std::int64_t item, int round, StepKind kind) {
  StepRecord step;
  step.item = item;
  step.round = round;
  step.kind = kind;
  step.principles = {"kind", "a \"quoted\" one"};
  step.inputs = "digest";
  step.text = std::string("text \0 with anything \n'; DROP TABLE step; --", 44);
  step.logprob = -1.25;
  step.cut = true;
  step.usage = {1, 2, 3};
  step.seed = ~std::uint64_t{0};
  step.model = "m";
  step.time_ms = 123456789012;
  return step;
}

TEST_F(Store, GivesBackWhatWasPut) {
  RunStore store = open();
  ASSERT_TRUE(store.set_items(three_items()).has_value());
  StepRecord judge = step_of(1, 1, StepKind::kJudge);
  judge.logprob.reset();
  judge.verdicts = {{"kind", Verdict::Value::kYes, 0.1 + 0.2},
                    {"brief", Verdict::Value::kNo, std::nullopt},
                    {"true", Verdict::Value::kUnparseable, std::nullopt}};
  for (const StepRecord& step : {judge, step_of(1, 1, StepKind::kRevision), step_of(1, 1, StepKind::kCritique),
                                 step_of(1, 0, StepKind::kJudge), step_of(1, 0, StepKind::kDraft)}) {
    ASSERT_TRUE(store.put(step).has_value());
  }
  ASSERT_TRUE(store.finish(1, Ending::kRevised).has_value());
  ASSERT_TRUE(store.finish(0, Ending::kFailed, "no answer").has_value());
  ASSERT_TRUE(store.commit().has_value());

  auto reader = RunStore::open_readonly(folder_);
  ASSERT_TRUE(reader.has_value()) << reader.error().message();
  std::vector<RunItem> items;
  std::vector<StepRecord> steps;
  ASSERT_TRUE(reader->visit([&](const RunItem& item, const std::vector<StepRecord>& made) {
    items.push_back(item);
    if (item.ordinal == 1) steps = made;
    return true;
  }).has_value());
  ASSERT_EQ(items.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(items[i].ordinal, static_cast<std::int64_t>(i));
    EXPECT_EQ(items[i].id, three_items()[i].id);
    EXPECT_EQ(items[i].messages, three_items()[i].messages);
    EXPECT_EQ(items[i].tags, three_items()[i].tags);
  }
  EXPECT_EQ(items[0].ending, Ending::kFailed);
  EXPECT_EQ(items[0].reason, "no answer");
  EXPECT_EQ(items[1].ending, Ending::kRevised);
  EXPECT_EQ(items[2].ending, Ending::kPending);
  ASSERT_EQ(steps.size(), 5U);
  const StepKind order[] = {StepKind::kDraft, StepKind::kJudge, StepKind::kCritique, StepKind::kRevision,
                            StepKind::kJudge};
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(steps[i].kind, order[i]) << i;
  const StepRecord draft = step_of(1, 0, StepKind::kDraft);
  EXPECT_EQ(steps[0].principles, draft.principles);
  EXPECT_EQ(steps[0].text, draft.text);
  EXPECT_EQ(steps[0].logprob, draft.logprob);
  EXPECT_EQ(steps[0].seed, draft.seed);
  EXPECT_EQ(steps[0].time_ms, draft.time_ms);
  EXPECT_TRUE(steps[0].cut);
  EXPECT_EQ(steps[0].usage.output_tokens, 3);
  ASSERT_EQ(steps[4].verdicts.size(), 3U);
  EXPECT_EQ(steps[4].verdicts[0].probability, 0.1 + 0.2) << "to the last bit";
  EXPECT_EQ(steps[4].verdicts[1].value, Verdict::Value::kNo);
  EXPECT_EQ(steps[4].verdicts[2].value, Verdict::Value::kUnparseable);
  EXPECT_FALSE(steps[4].logprob.has_value());
}

TEST_F(Store, WhatWasNotCommittedNeverHappened) {
  {
    RunStore store = open();
    ASSERT_TRUE(store.set_items(three_items()).has_value());
    ASSERT_TRUE(store.put(step_of(0, 0, StepKind::kDraft)).has_value());
    ASSERT_TRUE(store.commit().has_value());
    ASSERT_TRUE(store.put(step_of(0, 0, StepKind::kJudge)).has_value());
  }
  EXPECT_EQ(open().steps(0)->size(), 1U);
}

TEST_F(Store, AKeyIsWrittenOnce) {
  RunStore store = open();
  ASSERT_TRUE(store.set_items(three_items()).has_value());
  ASSERT_TRUE(store.put(step_of(0, 0, StepKind::kDraft)).has_value());
  EXPECT_FALSE(store.put(step_of(0, 0, StepKind::kDraft)).has_value());
}

TEST_F(Store, OpenItemsArePendingOrFailed) {
  RunStore store = open();
  ASSERT_TRUE(store.set_items(three_items()).has_value());
  ASSERT_TRUE(store.finish(0, Ending::kComplied).has_value());
  ASSERT_TRUE(store.finish(1, Ending::kFailed, "x").has_value());
  EXPECT_EQ((*store.next_open_item(0))->id, "b");
  EXPECT_EQ((*store.next_open_item(2))->id, "c");
  EXPECT_FALSE(store.next_open_item(3)->has_value());
  EXPECT_EQ(*store.open_count(), 2);
}

TEST_F(Store, TheItemsAreSetOnce) {
  RunStore store = open();
  ASSERT_TRUE(store.set_items(three_items()).has_value());
  EXPECT_TRUE(store.set_items(three_items()).has_value());
  auto other = three_items();
  other[1].messages[1].content += "!";
  const Status refused = store.set_items(other);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().what.find("other prompts"), std::string::npos);
}

TEST_F(Store, ASecondProcessIsRefused) {
  const RunStore store = open();
  const pid_t child = ::fork();
  if (child == 0) {
    const auto second = RunStore::open(folder_, "seed = 1\n");
    ::_exit(!second && second.error().what.find("another process") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST_F(Store, TheLockGoesWithItsOwner) {
  { open(); }
  EXPECT_TRUE(RunStore::open(folder_, "seed = 1\n").has_value());
}

TEST_F(Store, ForeignAndDamagedDatabasesAreRefused) {
  fs::create_directories(folder_);
  const std::string file = folder_ + "/run.db";
  std::ofstream(file) << "This is no database, whatever its name says. " << std::string(4096, 'x');
  EXPECT_NE(error_of_open().find("not a run database"), std::string::npos);
  EXPECT_FALSE(RunStore::open_readonly(folder_).has_value());
  fs::remove(file);

  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &raw), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(raw, "CREATE TABLE songs (name TEXT)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(raw);
  EXPECT_NE(error_of_open().find("another program"), std::string::npos);
  EXPECT_FALSE(RunStore::open_readonly(folder_).has_value());
  fs::remove(file);

  { open(); }
  ASSERT_EQ(sqlite3_open(file.c_str(), &raw), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(raw, "PRAGMA user_version = 99", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(raw);
  EXPECT_NE(error_of_open().find("format 99"), std::string::npos);
}

TEST_F(Store, DamageInTheMiddleIsAnErrorNotACrash) {
  {
    RunStore store = open();
    std::vector<RunItem> items;
    for (int i = 0; i < 400; ++i) {
      items.push_back({});
      items.back().id = std::to_string(i);
      items.back().messages = {{"user", std::string(200, 'q')}};
    }
    ASSERT_TRUE(store.set_items(items).has_value());
    for (int i = 0; i < 400; ++i) ASSERT_TRUE(store.put(step_of(i, 0, StepKind::kDraft)).has_value());
    ASSERT_TRUE(store.commit().has_value());
  }
  const std::string file = folder_ + "/run.db";
  std::string bytes;
  {
    std::ifstream in(file, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  ASSERT_GT(bytes.size(), 100000U);
  int noticed = 0;
  for (std::size_t at = 4096; at + 512 < bytes.size(); at += 8192) {
    std::string damaged = bytes;
    for (std::size_t i = 0; i < 512; ++i) damaged[at + i] = static_cast<char>((i * 37 + at) & 0xff);
    std::ofstream(file, std::ios::binary | std::ios::trunc) << damaged;
    auto store = RunStore::open_readonly(folder_);
    const bool fine = store && store->visit([](const RunItem&, const std::vector<StepRecord>&) { return true; });
    noticed += fine ? 0 : 1;
  }
  EXPECT_GT(noticed, 0);
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes.substr(0, bytes.size() / 2);
  auto store = RunStore::open_readonly(folder_);
  EXPECT_FALSE(store && store->visit([](const RunItem&, const std::vector<StepRecord>&) { return true; }));
}

TEST_F(Store, WordsOfJsonThatAreDamagedAreErrors) {
  { ASSERT_TRUE(open().set_items(three_items()).has_value()); }
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open((folder_ + "/run.db").c_str(), &raw), SQLITE_OK);
  for (const char* messages : {"", "{", "[]", "[1]", "[{\"role\": 1}]", "[{\"role\": \"user\"}]"}) {
    const std::string update = std::string("UPDATE item SET messages = '") + messages + "' WHERE ordinal = 1";
    ASSERT_EQ(sqlite3_exec(raw, update.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    const auto item = RunStore::open_readonly(folder_)->next_open_item(1);
    ASSERT_FALSE(item.has_value()) << messages;
    EXPECT_NE(item.error().what.find("damaged"), std::string::npos);
    EXPECT_FALSE(item.error().file.empty());
  }
  sqlite3_close(raw);
}

// As another user, for whom permissions count (they do not for root).
template <class F>
bool as_nobody(F check) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::getuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(2);
    ::_exit(check() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_F(Store, AReadOnlyFolderCanBeReadButNotWritten) {
  {
    RunStore store = open();
    ASSERT_TRUE(store.set_items(three_items()).has_value());
  }
  fs::permissions(root_, fs::perms(0755));
  fs::permissions(folder_, fs::perms(0555));
  fs::permissions(folder_ + "/run.db", fs::perms(0444));
  fs::permissions(folder_ + "/run.lock", fs::perms(0444));
  EXPECT_TRUE(as_nobody([&] {
    const auto store = RunStore::open(folder_, "seed = 1\n");
    return !store && store.error().kind == ErrorKind::kFailed && !store.error().hint.empty();
  }));
  EXPECT_TRUE(as_nobody([&] {
    const auto store = RunStore::open_readonly(folder_);
    return store && store->item_count() && *store->item_count() == 3;
  }));
  EXPECT_TRUE(as_nobody([&] { return !RunStore::open(folder_ + "/new", "seed = 1\n"); }));
}

TEST_F(Store, NoRunIsAnError) {
  const auto store = RunStore::open_readonly(folder_);
  ASSERT_FALSE(store.has_value());
  EXPECT_EQ(store.error().kind, ErrorKind::kBadInput);
  EXPECT_FALSE(fs::exists(folder_)) << "reading creates nothing";
}

TEST_F(Store, AReaderWritesNothing) {
  { ASSERT_TRUE(open().set_items(three_items()).has_value()); }
  auto reader = RunStore::open_readonly(folder_);
  EXPECT_FALSE(reader->put(step_of(0, 0, StepKind::kDraft)).has_value());
  EXPECT_FALSE(reader->finish(0, Ending::kComplied).has_value());
}

TEST(Recipe, TheDifferenceIsShownLineByLine) {
  EXPECT_TRUE(recipe_difference("a = 1\nb = 2\n", "a = 1\nb = 2\n").empty());
  EXPECT_EQ(recipe_difference("a = 1\nb = 2\nc = 3\n", "a = 1\nb = 5\nd = 4\n"),
            (std::vector<std::string>{"was: b = 2", "now: b = 5", "was: c = 3", "now: d = 4"}));
}

TEST(RequestDigest, EveryPartOfARequestCounts) {
  GenerateRequest base;
  base.messages = {{"user", "a"}, {"assistant", "b"}};
  std::vector<GenerateRequest> all(11, base);
  all[1].messages[1].content = "c";
  all[2].messages = {{"user", "aassistantb"}};
  all[3].messages[0].role = "system";
  all[4].sampling.max_tokens = 7;
  all[5].sampling.temperature = 0;
  all[6].sampling.stop = {"x"};
  all[7].key.seed = 1;
  all[8].key.item = 1;
  all[9].key.step = 1;
  all[10].key.round = 1;
  std::set<std::string> digests;
  for (const GenerateRequest& request : all) digests.insert(request_digest(request, "m"));
  digests.insert(request_digest(base, "other model"));
  EXPECT_EQ(digests.size(), 12U);
  ScoreRequest score;
  score.messages = base.messages;
  score.questions = {{"ab", {"c"}}};
  const std::string first = request_digest(score, "m");
  score.questions = {{"a", {"bc"}}};
  EXPECT_NE(request_digest(score, "m"), first);
}

}  // namespace
}  // namespace precept
