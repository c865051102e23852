#include "precept/revise/verdicts.h"

#include <limits>

#include "tests/revise/fixture.h"

namespace precept::testing_loop {
namespace {

using Value = Verdict::Value;

// One letter a principle: y, n, or ? for unparseable.
std::string read(StepKind kind, const std::string& answer, std::size_t many = 4) {
  static const Constitution constitution = small_constitution();
  Principles principles;
  for (std::size_t i = 0; i < many; ++i) principles.push_back(&constitution.principles[i]);
  std::string letters;
  for (const Verdict& verdict : read_list(kind, answer, principles)) {
    letters += verdict.value == Value::kYes ? 'y' : verdict.value == Value::kNo ? 'n' : '?';
  }
  return letters;
}

TEST(Verdicts, FormsOfALine) {
  EXPECT_EQ(read(StepKind::kSelect, "1: yes\n2: no\n3: yes\n4: no"), "ynyn");
  EXPECT_EQ(read(StepKind::kSelect, "1. Yes.\r\n2) NO\r\n3 - yes, it does\n4 = no (irrelevant)"), "ynyn");
  EXPECT_EQ(read(StepKind::kSelect, "Here is my answer.\n\n- **1**: yes\n- **2:** no\n* 3: yes\n# 4: No"), "ynyn");
  EXPECT_EQ(read(StepKind::kSelect, "Rule 1: applies\nRule 2: does not apply\nPrinciple 3 — applicable\n4: not relevant"),
            "ynyn");
  EXPECT_EQ(read(StepKind::kSelect, "1：是\n2：否\n规则3：适用\n第4条：不适用"), "ynyn");
  EXPECT_EQ(read(StepKind::kJudge, "1. violates\nRule 2 — Complies\n3: Violates - it is rude\n4: `complies`"), "ynyn");
  EXPECT_EQ(read(StepKind::kJudge, "1: 违反\n2: 不违反\n3: 不符合\n4: 符合。"), "ynyn");
  EXPECT_EQ(read(StepKind::kJudge, "1: does not violate\n2: does not comply\n3: yes\n4: no"), "nyyn");
  EXPECT_EQ(read(StepKind::kJudge, "4: no\n3: yes\n2: no\n1: yes"), "ynyn") << "in any order";
}

TEST(Verdicts, WhatCannotBeReadIsNotGuessed) {
  EXPECT_EQ(read(StepKind::kSelect, ""), "????");
  EXPECT_EQ(read(StepKind::kSelect, "yes\nyes\nyes\nyes"), "????") << "no numbers";
  EXPECT_EQ(read(StepKind::kSelect, "1: yes or no\n2: maybe\n3: yesterday\n4: none"), "????");
  EXPECT_EQ(read(StepKind::kSelect, "1: no idea\n2: yes/no\n3: yes because\n4:"), "????");
  EXPECT_EQ(read(StepKind::kSelect, "1: yes\n1: no\n2: no\n2: no"), "?n??") << "said twice";
  EXPECT_EQ(read(StepKind::kSelect, "0: yes\n5: yes\n99999999999999999999: yes\n-1: no"), "n???");
  EXPECT_EQ(read(StepKind::kSelect, "1yes\n2nd: yes\n3x: no\n4 4: yes"), "????");
  EXPECT_EQ(read(StepKind::kSelect, "1 2 3 4: yes"), "????");
  EXPECT_EQ(read(StepKind::kJudge, "1: not sure it violates\n2: 是否违反\n3: 不知道\n4: complies?"), "????");
}

TEST(Verdicts, OnePrincipleNeedsNoNumber) {
  EXPECT_EQ(read(StepKind::kSelect, "Yes.", 1), "y");
  EXPECT_EQ(read(StepKind::kJudge, "complies", 1), "n");
  EXPECT_EQ(read(StepKind::kJudge, "No.", 1), "n");
  EXPECT_EQ(read(StepKind::kJudge, "No. The reply is fine.", 1), "n");
  EXPECT_EQ(read(StepKind::kJudge, "No. 1: yes", 1), "y") << "short for number";
  EXPECT_EQ(read(StepKind::kJudge, "It complies, I think", 1), "?");
}

TEST(Verdicts, ThoughtsAreNotTheAnswer) {
  EXPECT_EQ(read(StepKind::kSelect, "<think>1: no\n2: no</think>\n1: yes\n2: no", 2), "yn");
  EXPECT_EQ(read(StepKind::kSelect, "<think>1: no\n2: yes\n</think>", 2), "??");
}

TEST(Verdicts, AnyBytesAreSafe) {
  const std::vector<std::string> pieces = {"1", "2", "3", ":", ".", " ", "\n", "yes", "no", "violates", "complies", "是", "否",
                                "不", "违反", "\xE6", "\xFF", "rule ", "第", "条", "**", "</think>", "—", "-"};
  Rng rng({.seed = 1});
  int read_any = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (std::uint64_t i = rng.below(30); i > 0; --i) text += rng.pick(pieces);
    for (const StepKind kind : {StepKind::kSelect, StepKind::kJudge}) {
      const std::string letters = read(kind, text, 3);
      ASSERT_EQ(letters.size(), 3U);
      read_any += letters != "???";
    }
  }
  EXPECT_GT(read_any, 100) << "the pieces should now and then make a verdict";
}

TEST(Verdicts, ScoresBecomeProbabilities) {
  const Constitution constitution = small_constitution();
  const Principles one = {&constitution.principles[0]};
  const double inf = std::numeric_limits<double>::infinity();
  const auto of = [&](double yes, double no, double threshold = 0.5) {
    Scores scores;
    scores.logprobs = {{yes, no}};
    return read_scores(scores, one, threshold)->at(0);
  };
  EXPECT_NEAR(*of(std::log(0.6), std::log(0.2)).probability, 0.75, 1e-12);
  EXPECT_EQ(of(-2.0, -1.0).value, Value::kNo);
  EXPECT_EQ(of(-1.0, -1.0).value, Value::kYes) << "from the threshold on";
  EXPECT_EQ(of(-1.0, -2.0, 0.9).value, Value::kNo);
  EXPECT_EQ(of(-1.0, -inf).value, Value::kYes);
  EXPECT_EQ(of(-inf, -1.0).value, Value::kNo);
  EXPECT_EQ(of(-1000.0, 0.0).value, Value::kNo);
  EXPECT_EQ(of(-inf, -inf).value, Value::kUnparseable);
  EXPECT_EQ(of(std::nan(""), -1.0).value, Value::kUnparseable);
  Scores wrong;
  wrong.logprobs = {{-1.0}};
  EXPECT_FALSE(read_scores(wrong, one, 0.5).has_value());
}

}  // namespace
}  // namespace precept::testing_loop
