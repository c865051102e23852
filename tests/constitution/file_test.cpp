// What depends on files: encodings, missing files, files that extend others, and the ones that ship.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "precept/core/digest.h"
#include "tests/constitution/findings.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

class ConstitutionFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("precept-constitution-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& bytes) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  static std::string source(const std::string& path) {
    const char* root = std::getenv("PRECEPT_SOURCE");
    return std::string(root == nullptr ? "." : root) + "/" + path;
  }

  fs::path folder_;
};

const std::string kPrinciple = "[[principle]]\nid='a'\ntext='Be kind.'\nwhy='w'\nsource='s'\n";
const std::string kBase = "[constitution]\nname='base'\nlanguage='en'\npriorities=['p','q']\n" + kPrinciple +
                          "priority='p'\n[templates]\njudge=\"a {conversation} {reply}\\n{principle}\"\ndraft='{prompt}'\n";

TEST_F(ConstitutionFile, WrongEncodings) {
  EXPECT_EQ(text_of(check_constitution(write("l.toml", "[constitution]\nname = \"caf\xE9\"\n"))),
            "2 error: not UTF-8 (byte 0xE9) (save the file as UTF-8, e.g. iconv -f LATIN1 -t UTF-8)\n");
  EXPECT_EQ(text_of(check_constitution(write("l.md", "# A\n\n\xFC" "ber\n"))),
            "3 error: not UTF-8 (byte 0xFC) (save the file as UTF-8, e.g. iconv -f LATIN1 -t UTF-8)\n");
  EXPECT_EQ(text_of(check_constitution(write("u.toml", std::string("\xFF\xFE[\0", 4)))),
            "1 error: not UTF-8 but UTF-16 (little-endian byte-order mark) (save the file as UTF-8, e.g. with iconv)\n");
  EXPECT_EQ(text_of(check_constitution(write("b.md", std::string("\xFE\xFF\0#", 4)))),
            "1 error: not UTF-8 but UTF-16 (big-endian byte-order mark) (save the file as UTF-8, e.g. with iconv)\n");
  EXPECT_EQ(text_of(check_constitution(write("g.md", "\x1F\x8B\x08"))), "1 error: not UTF-8 but compressed (gzip) (unpack it first)\n");
  EXPECT_EQ(text_of(check_constitution(write("n.toml", std::string("a=1\n\0", 5)))),
            "2 error: NUL byte in the text (this looks like a binary file; expected UTF-8 text)\n");
}

TEST_F(ConstitutionFile, CannotBeRead) {
  EXPECT_EQ(load_constitution((folder_ / "no.toml").string()).error().what, "no such file");
  EXPECT_EQ(load_constitution(folder_.string()).error().what, "is a folder, not a file");
  EXPECT_EQ(text_of(check_constitution(write("a.txt", "x"))), "0 error: a constitution is a .toml or .md file (rename it after its format)\n");
  EXPECT_NE(text_of(check_constitution(write("big.toml", std::string(5u << 20, '#')))).find("0 error: file is larger than"), std::string::npos);
  EXPECT_NE(text_of(check_constitution(write("big.md", std::string(2u << 20, '\n')))).find("1 error: file is larger than"), std::string::npos);
}

TEST_F(ConstitutionFile, LoadGivesTheFirstError) {
  const std::string path = write("a.toml", "[constitution]\nname='x'\n[[principle]]\nid='a'\ntxt='y'\n");
  const auto loaded = load_constitution(path);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().message(), path + ":3: no text in principle \"a\"");
  EXPECT_EQ(loaded.error().kind, ErrorKind::kBadInput);
}

TEST_F(ConstitutionFile, ExtendsPutsTheOtherFileFirst) {
  write("base.toml", kBase);
  const std::string text = "[constitution]\nname='more'\nextends='base.toml'\n[[principle]]\nid='b'\ntext='Be brief.'\n"
                           "why='w'\nsource='s'\npriority='q'\n[templates]\njudge=\"b {conversation} {reply}\\n{principle}\"\n";
  const auto c = load_constitution(write("more.toml", text));
  ASSERT_TRUE(c) << c.error().message();
  EXPECT_EQ(c->name, "more");
  EXPECT_EQ(c->language, "en");
  EXPECT_EQ(c->priorities, (std::vector<std::string>{"p", "q"}));
  ASSERT_EQ(c->principles.size(), 2u);
  EXPECT_EQ(c->principles[0].id + c->principles[1].id, "ab");
  EXPECT_EQ(c->templates.at("judge"), "b {conversation} {reply}\n{principle}");
  EXPECT_EQ(c->templates.at("draft"), "{prompt}");
  EXPECT_EQ(c->digest, sha256(sha256(kBase) + sha256(text)));  // a change of either file changes it
}

TEST_F(ConstitutionFile, ExtendsGoesWrong) {
  write("base.toml", kBase);
  const std::string head = "[constitution]\nname='x'\nextends='base.toml'\n";
  EXPECT_EQ(text_of(check_constitution(write("dup.toml", head + kPrinciple + "priority='q'\n"))),
            "4 error: id \"a\" is already that of a principle of base.toml (give each principle its own id)\n"
            "4 error: principle \"a\" has the same text as a principle of base.toml (remove one of them)\n"
            "4 warning: tier \"q\" has no principle (remove it from priorities or add one)\n");
  EXPECT_EQ(text_of(check_constitution(write("tiers.toml", head + "priorities=['q']\n"))),
            "3 error: priority \"p\" of the extended file is not one of priorities (keep its tiers, or leave priorities out)\n"
            "4 warning: tier \"q\" has no principle (remove it from priorities or add one)\n");
  const std::string self = text_of(check_constitution(write("self.toml", "[constitution]\nname='x'\nextends='self.toml'\n" + kPrinciple)));
  EXPECT_NE(self.find("3 error: extends is followed at most 4 files deep (does a file extend itself?)\n"), std::string::npos) << self;
  EXPECT_EQ(text_of(check_constitution(write("gone.toml", "[constitution]\nname='x'\nextends='gone/away.toml'\n" + kPrinciple))),
            "3 error: cannot extend \"gone/away.toml\" (it is looked for beside this file)\n0 error: no such file (check the path)\n");
  EXPECT_EQ(findings_of(head + kPrinciple), "3 error: extends works in files only (put both into one text)\n");
}

TEST_F(ConstitutionFile, WhatShipsIsClean) {
  for (const char* path : {"constitutions/default.toml", "constitutions/pocket-style.toml",
                           "constitutions/examples/neighbourly.md", "constitutions/examples/linli.md"}) {
    EXPECT_EQ(text_of(check_constitution(source(path))), "") << path;
    const auto c = load_constitution(source(path));
    ASSERT_TRUE(c) << c.error().message();
    bool hard = false;
    for (const Principle& p : c->principles) hard = hard || p.hard;
    EXPECT_TRUE(hard) << path;
  }
  EXPECT_GE(load_constitution(source("constitutions/default.toml"))->principles.size(), 16u);
}

TEST_F(ConstitutionFile, BothExamplesSayTheSame) {
  const auto en = load_constitution(source("constitutions/examples/neighbourly.md"));
  const auto zh = load_constitution(source("constitutions/examples/linli.md"));
  ASSERT_TRUE(en && zh);
  EXPECT_EQ(zh->language, "zh");
  EXPECT_EQ(zh->name, "邻里宪章");
  EXPECT_EQ(zh->priorities, (std::vector<std::string>{"底线", "待人", "做事"}));
  ASSERT_EQ(en->principles.size(), zh->principles.size());
  for (std::size_t i = 0; i < en->principles.size(); ++i) {
    EXPECT_EQ(en->principles[i].hard, zh->principles[i].hard);
    EXPECT_EQ(en->principles[i].applies_to.empty(), zh->principles[i].applies_to.empty());
    EXPECT_EQ(en->principles[i].source.name.empty(), zh->principles[i].source.name.empty());
  }
  EXPECT_EQ(zh->principles[2].text, "说你相信为真的话，并说明有多大把握。不要为了讨人喜欢而附和错误。");
  EXPECT_EQ(zh->principles[4].text, "不能帮忙的时候，要做到：马上说明，并讲清原因；不说教；指出哪里可以得到真正的帮助");
}

}  // namespace
}  // namespace precept
