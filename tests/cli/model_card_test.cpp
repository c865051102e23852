// The card of a trained model: honest before any evaluation, measured after one, and only of the weights that were measured.

#include <gmock/gmock.h>

#include "tests/cli/program.h"

namespace precept {
namespace {

using testing::HasSubstr;
using testing::Not;

class Card : public ProgramTest {
 protected:
  std::string card(const std::string& model) const { return slurp(path(model + "/README.md")); }
};

TEST_F(Card, SaysWhatWasMeasuredAndWhatWasNot) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const std::string run_loop = "revise --quiet --model pocket --prompts prompts.jsonl --constitution good.toml --run r";
  ASSERT_EQ(run(run_loop).code, 0);
  put("r/sft.jsonl", "{\"prompt\":\"Say something.\",\"completion\":\"I wish you a fine day.\"}\n");
  const Ran trained = run("train sft --quiet --model pocket --run r --epochs 1 --shard-size 2MB");
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_TRUE(std::filesystem::exists(path("r/models/sl/model.safetensors.index.json")));
  const std::string before = card("r/models/sl");
  EXPECT_EQ(before.rfind("---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- precept\n- constitutional-ai\n---\n", 0), 0U) << before;
  EXPECT_THAT(before, HasSubstr("# sl\n"));
  EXPECT_THAT(before, HasSubstr("Not yet evaluated"));
  EXPECT_THAT(before, HasSubstr("- **kind**: Be kind. *Why:* It helps. (us)"));
  EXPECT_THAT(before, HasSubstr("```toml\n"));
  EXPECT_THAT(before, HasSubstr("epochs = 1"));

  ASSERT_EQ(run("eval --quiet --model pocket --constitution good.toml --held-out 20 --run r --label base").code, 0);
  EXPECT_EQ(card("r/models/sl"), before) << "another model was measured";
  put("r/models/sl/README.md", before + "\nA person wrote this.\n");
  const Ran measured = run("eval --quiet --model r/models/sl --constitution good.toml --held-out 20 --run r --label sl");
  ASSERT_EQ(measured.code, 0) << measured.err;
  const std::string after = card("r/models/sl");
  EXPECT_THAT(after, Not(HasSubstr("Not yet evaluated")));
  EXPECT_THAT(after, HasSubstr("| | before | this model | the same prompts, paired |"));
  EXPECT_THAT(after, HasSubstr("| violation rate | "));
  EXPECT_THAT(after, HasSubstr("`sl`: 20 prompts"));
  EXPECT_THAT(after, HasSubstr("nothing else."));
  EXPECT_THAT(after, HasSubstr("\nA person wrote this.\n"));

  // Other weights in its place: what was measured was not these.
  ASSERT_EQ(run("train sft --quiet --model pocket --run r --epochs 2 --state other").code, 0);
  EXPECT_THAT(card("r/models/sl"), HasSubstr("Not yet evaluated"));
}

}  // namespace
}  // namespace precept
