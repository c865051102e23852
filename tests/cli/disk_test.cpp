// A disk that is full, a folder that cannot be written, a run that is another one or damaged: one line, a hint, and what
// was there stays.

#include <string>
#include <vector>

#include "tests/cli/program.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

class Disk : public ProgramTest {
 protected:
  static std::string revise(const std::string& rest) {
    return "revise --model scripted:script.jsonl --constitution good.toml " + rest;
  }
  // Files may not grow beyond so many KiB (a shell counts in 512 bytes): what a full disk does, as near as a test can come
  // without one. Below 32 KiB a run cannot even be read: SQLite maps an index of that size.
  static std::string full(int kib) { return "ulimit -f " + std::to_string(2 * kib) + ";"; }
  std::string traces(const std::string& run_folder) const { return run("export --what traces --run " + run_folder).out; }
  void expect_fine(const std::string& arguments) const {
    const Ran ran = run(arguments);
    ASSERT_EQ(ran.code, 0) << arguments << "\n" << ran.err;
  }
  // A run with its recipe, prompts enough for a database of some 100 KB.
  void make_run(const std::string& name) {
    std::string prompts;
    for (int i = 0; i < 300; ++i) prompts += "{\"prompt\":\"Question " + std::to_string(i) + "\"}\n";
    put("many.jsonl", prompts);
    expect_fine(revise("--prompts many.jsonl --run " + name));
  }
};

TEST_F(Disk, FullWhileTheLoopRuns) {
  make_run("whole");
  for (const int kib : {2, 8, 40, 100}) {
    SCOPED_TRACE(kib);
    const std::string name = "r" + std::to_string(kib);
    expect_error(run(revise("--prompts many.jsonl --run " + name), full(kib)), 3, "run.db");
    expect_fine(revise("--prompts many.jsonl --run " + name));
    EXPECT_EQ(traces(name), traces("whole"));
  }
}

TEST_F(Disk, FullWhileResultsAreWritten) {
  make_run("r");
  expect_fine("export --what traces --run r --out traces.jsonl");
  expect_fine("eval --model scripted:script.jsonl --held-out 300 --run e");
  expect_fine("report --run e --out report.html");
  const std::string before = slurp(path("traces.jsonl")), report = slurp(path("report.html"));
  expect_error(run("export --what traces --run r --out traces.jsonl", full(40)), 3, "traces.jsonl: cannot write");
  expect_error(run("report --run e --out report.html", full(4)), 3, "report.html: cannot write");
  EXPECT_TRUE(slurp(path("traces.jsonl")) == before);
  EXPECT_TRUE(slurp(path("report.html")) == report);
  expect_error(run("pocket prompts --count 2000 --out p.jsonl", full(40)), 3, "p.jsonl: cannot write");
  EXPECT_FALSE(fs::exists(path("p.jsonl")));
  const Ran eval = run("eval --model scripted:script.jsonl --held-out 300 --run e2", full(4));
  expect_error(eval, 3, "eval-base.json: cannot write");
  EXPECT_NE(eval.out.find("violation rate"), std::string::npos) << "the figures are not lost: " << eval.out;
  for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
    EXPECT_EQ(entry.path().string().find(".tmp"), std::string::npos) << entry.path();
  }
}

TEST_F(Disk, FullWhileTrained) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  put("sft.jsonl", "{\"prompt\":\"What is two plus two?\",\"completion\":\"Four.\"}\n");
  const std::string command = "train sft --data sft.jsonl --epochs 4 --checkpoint-every 2 --panel 0 --quiet --out ";
  expect_error(run(command + "m", full(1024)), 3, "train.state: cannot write");
  EXPECT_FALSE(fs::exists(path("m/model.safetensors")));
  expect_fine(command + "m");
  expect_fine(command + "whole");
  EXPECT_TRUE(slurp(path("m/model.safetensors")) == slurp(path("whole/model.safetensors")));
}

TEST_F(Disk, FoldersThatCannotBe) {
  put("file", "what is here");
  for (const char* folder : {"/proc/precept-run", "file", "file/below"}) {
    SCOPED_TRACE(folder);
    expect_error(run(revise(std::string("--prompts prompts.jsonl --run ") + folder)), 3, folder);
    const Ran eval = run(std::string("eval --model scripted:script.jsonl --held-out 3 --run ") + folder);
    expect_error(eval, 3, folder);
    EXPECT_EQ(eval.out, "") << "refused before the work, not after it";
    if (!has_engine()) continue;
    expect_error(run(std::string("quickstart --out ") + folder), 3, folder);
    put("sft.jsonl", "{\"prompt\":\"a\",\"completion\":\"b\"}\n");
    expect_error(run(std::string("train sft --data sft.jsonl --out ") + folder), 3, folder);
  }
  EXPECT_EQ(slurp(path("file")), "what is here");
}

// As a user who may read the run but not write it.
TEST_F(Disk, ReadOnlyRunFolder) {
  make_run("r");
  std::string before;
  if (::geteuid() == 0) {
    before = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    fs::permissions(folder_, fs::perms(0755));
    if (run("--version", before).code != 0) GTEST_SKIP() << "cannot become another user who sees the program";
  } else {
    fs::permissions(folder_ / "r", fs::perms(0555));
  }
  const std::string db = slurp(path("r/run.db"));
  // Standard error is opened by the shell in front, as the user who made the folder.
  expect_error(run(revise("--prompts many.jsonl --run r"), before), 3, "r: the folder cannot be written");
  expect_error(run("eval --model scripted:script.jsonl --held-out 3 --run r", before), 3, "r: the folder cannot be written");
  expect_error(run("report --run r", before), 3, "r/report.html: cannot write");
  const Ran exported = run("export --what traces --run r", before);
  EXPECT_EQ(exported.code, 0) << exported.err;
  EXPECT_FALSE(exported.out.empty()) << "reading needs no writing";
  fs::permissions(folder_ / "r", fs::perms(0755));
  EXPECT_TRUE(slurp(path("r/run.db")) == db);
}

TEST_F(Disk, DamagedRun) {
  make_run("r");
  for (const std::uintmax_t size : {std::uintmax_t{3000}, fs::file_size(path("r/run.db")) / 2}) {
    SCOPED_TRACE(size);
    fs::remove_all(path("cut"));
    fs::copy(path("r"), path("cut"));
    for (const char* log : {"cut/run.db-wal", "cut/run.db-shm"}) fs::remove(path(log));
    fs::resize_file(path("cut/run.db"), size);
    const std::string left = slurp(path("cut/run.db"));
    expect_error(run(revise("--prompts many.jsonl --run cut")), 2, "cut/run.db: ");
    expect_error(run("export --what sft --run cut"), 2, "cut/run.db: ");
    expect_error(run("report --run cut"), 2, "cut/run.db: ");
    EXPECT_TRUE(slurp(path("cut/run.db")) == left);
  }
  put("cut/run.db", "this is no database, though it lies where one should be");
  expect_error(run(revise("--prompts many.jsonl --run cut")), 2, "cut/run.db: ");
}

TEST_F(Disk, ChangedRecipeIsRefusedWithTheDifference) {
  expect_fine(revise("--prompts prompts.jsonl --run r --seed 1"));
  const std::string kept = traces("r");
  expect_error(run(revise("--prompts prompts.jsonl --run r --seed 2")), 2, "was: seed = 1; now: seed = 2");
  put("other.jsonl", "{\"prompt\":\"Other.\"}\n");
  expect_error(run(revise("--prompts other.jsonl --run r --seed 1")), 2, "other prompts (2, now 1)");
  put("good.toml", slurp(path("good.toml")) + "applies_to = \"always\"\n");
  expect_error(run(revise("--prompts prompts.jsonl --run r --seed 1")), 2, "was: constitution = ");
  EXPECT_EQ(traces("r"), kept) << "the refused commands changed the run";

  if (!has_engine()) return;
  put("sft.jsonl", "{\"prompt\":\"a\",\"completion\":\"b\"}\n");
  expect_fine("train sft --data sft.jsonl --out m --epochs 2 --quiet");
  const std::string weights = slurp(path("m/model.safetensors"));
  expect_error(run("train sft --data sft.jsonl --out m --epochs 3 --quiet"), 2, "epochs was 2, now 3");
  EXPECT_TRUE(slurp(path("m/model.safetensors")) == weights);

  expect_fine("quickstart --out q --prompts 20 --held-out 10 --judge-cases 4 --quiet");
  const std::string report = slurp(path("q/report.html"));
  expect_error(run("quickstart --out q --prompts 21 --held-out 10 --judge-cases 4 --quiet"), 2, "prompts");
  EXPECT_TRUE(slurp(path("q/report.html")) == report);
  expect_fine("quickstart --out q --prompts 20 --held-out 10 --judge-cases 4 --quiet");
}

}  // namespace
}  // namespace precept
