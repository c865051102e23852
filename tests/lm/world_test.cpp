// Several processes that train together, here as threads with trainers of their own: the bits of one, and a clean end when one is gone.
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <set>
#include <thread>

#include "precept/core/rng.h"
#include "precept/lm/train/trainer.h"
#include "precept/lm/train/world.h"
#include "tests/lm/ranks.h"
#include "tests/support/free_port.h"

namespace precept {
namespace {

TEST(World, GathersWhatEachOneSays) {
  for (const int size : {1, 2, 4}) {
    on_ranks(size, [&](const WorldOptions& options) {
      auto world = World::join(options, "a", 20);
      ASSERT_TRUE(world) << world.error().message();
      for (int round = 0; round < 3; ++round) {
        const auto text = [&](int rank) { return std::string(std::size_t(1 + rank * 300'000 * round), char('a' + rank)); };
        const std::vector<std::string> all = (*world)->gather(text(options.rank));
        ASSERT_EQ(all.size(), std::size_t(size));
        for (int rank = 0; rank < size; ++rank) EXPECT_TRUE(all[std::size_t(rank)] == text(rank)) << rank;
      }
    });
  }
}

// ((g0 + g1) + g2) + g3 ..., as one process adds them. More floats than a slice holds. The first process adds its own as they come, on
// one thread here; those of the others stay apart.
TEST(World, AddsTheLanesInTheirOrder) {
  constexpr std::size_t kSize = 700'001;
  const auto value = [](int lane, std::size_t i) { return float((i * 2654435761U + std::size_t(lane) * 40503U * (i % 251)) % 1000003U) * 1e-3F; };
  const auto in_order = [&](int lanes, std::size_t i) {
    float sum = value(0, i);
    for (int lane = 1; lane < lanes; ++lane) sum += value(lane, i);
    return sum;
  };
  EXPECT_NE(in_order(4, 1), ((value(0, 1) + value(1, 1)) + value(3, 1)) + value(2, 1)) << "numbers whose order does not matter";
  for (const auto& [size, lanes] : {std::pair{2, 4}, {3, 4}, {4, 4}, {2, 2}, {2, 3}, {2, 8}, {3, 8}}) {
    on_ranks(size, [&, size = size, lanes = lanes](const WorldOptions& options) {
      auto world = World::join(options, "a", 20);
      ASSERT_TRUE(world) << world.error().message();
      const auto [first, end] = World::lanes(options.rank, size, lanes);
      LaneSums sums(kSize, first, end, 1, options.rank == 0);
      EXPECT_EQ(sums.buffers(), options.rank == 0 ? std::min(end, 2) : end - first);
      for (int step = 0; step < 2; ++step) {
        sums.begin();
        for (int lane = first; lane < end; ++lane) {
          float* to = sums.take(lane);
          for (std::size_t i = 0; i < kSize; ++i) to[i] = value(lane, i);
          sums.give(lane);
        }
        (*world)->add_in_order(sums, lanes);
        for (std::size_t i = 0; i < kSize; i += 1 + i % 3) {
          ASSERT_EQ(sums.sum()[i], in_order(lanes, i)) << i << " of rank " << options.rank << " of " << size << ", " << lanes << " lanes";
        }
      }
    });
  }
}

TEST(World, RefusesAnotherRun) {
  on_ranks(2, [](const WorldOptions& options) {
    const auto world = World::join(options, options.rank == 0 ? "lr 1" : "lr 2", 20);
    ASSERT_FALSE(world);
    EXPECT_NE(world.error().what.find("other options"), std::string::npos) << world.error().what;
  });
}

TEST(World, SaysWhoDidNotCome) {
  const auto world = World::join({0, 2, "127.0.0.1", free_port()}, "a", 1);
  ASSERT_FALSE(world);
  EXPECT_NE(world.error().what.find("did not come within 1 s"), std::string::npos) << world.error().what;
}

TEST(World, FailsWhenAnotherIsGone) {
  on_ranks(3, [](const WorldOptions& options) {
    auto world = World::join(options, "a", 20);
    ASSERT_TRUE(world) << world.error().message();
    (*world)->gather("here");
    if (options.rank == 1) return;  // closes its connections
    try {
      for (;;) (*world)->gather(std::string(100'000, 'x'));
    } catch (const WorldError& error) {
      EXPECT_NE(std::string(error.what()).find("is gone"), std::string::npos) << error.what();
    }
  });
}

class WorldTraining : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "precept_world_" + std::to_string(::getpid());
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  TrainOptions options(const std::string& name) const {
    TrainOptions o;
    o.fresh.vocab_size = 32;
    o.fresh.hidden_size = 48;
    o.fresh.intermediate_size = 96;
    o.fresh.num_hidden_layers = 2;
    o.fresh.num_attention_heads = o.fresh.num_key_value_heads = 3;
    o.fresh.head_dim = 16;
    o.fresh.max_position_embeddings = 64;
    o.fresh.tie_word_embeddings = true;
    o.out = folder_ + "/" + name;
    o.batch_tokens = 256;
    o.lr = 5e-3;
    o.threads = 1;
    return o;
  }
  static TrainSet set(int group) {
    TrainSet set;
    set.count = 60;
    set.group = group;
    set.digest = "random";
    set.example = [](std::uint64_t i) {
      Rng rng({11, i, 0, 0});
      TrainExample example;
      const std::uint64_t n = 3 + rng.below(40);
      for (std::uint64_t j = 0; j < n; ++j) example.tokens.push_back(std::int32_t(rng.below(32)));
      example.weights.assign(n, 1.0F);
      return example;
    };
    return set;
  }

  std::string folder_;
};

TEST_F(WorldTraining, GivesTheBitsOfOneProcess) {
  std::set<std::string> digests;
  for (const auto& [size, lanes] : {std::pair{2, 4}, {4, 4}, {2, 2}, {2, 3}, {2, 8}, {5, 8}}) {
    SCOPED_TRACE(std::to_string(size) + " processes, " + std::to_string(lanes) + " lanes");
    TrainOptions one = options("alone");
    one.lanes = lanes;
    const auto alone = train(one, set(1), {});
    ASSERT_TRUE(alone) << alone.error().message();
    digests.insert(alone->digest);
    on_ranks(size, [&, size = size, lanes = lanes](const WorldOptions& world) {
      TrainOptions o = options("together" + std::to_string(size));
      o.lanes = lanes;
      o.world = world;
      const auto summary = train(o, set(1), {});
      ASSERT_TRUE(summary) << summary.error().message();
      EXPECT_EQ(summary->steps, alone->steps);
      EXPECT_EQ(summary->first_loss, alone->first_loss);
      EXPECT_EQ(summary->last_loss, alone->last_loss);
      EXPECT_EQ(summary->digest, world.rank == 0 ? alone->digest : "");  // one writes
    });
  }
  EXPECT_EQ(digests.size(), 4U) << "each number of lanes has an order of its own";
}

TEST_F(WorldTraining, PairsTooAreDealtOut) {
  TrainOptions start = options("start");
  ASSERT_TRUE(train(start, set(1), {}));
  const auto run = [&](const std::string& name, const WorldOptions& world, bool reward, int lanes) {
    TrainOptions o = options(name);
    o.from = start.out;
    o.lanes = lanes;
    o.world = world;
    return reward ? train_reward(o, {}, set(2), {}, {}) : train_preferences(o, {}, set(2), {});
  };
  for (const auto& [reward, lanes] : {std::pair{false, 4}, {true, 4}, {false, 3}, {true, 3}}) {
    const auto alone = run("alone", {}, reward, lanes);
    ASSERT_TRUE(alone) << alone.error().message();
    on_ranks(2, [&, reward = reward, lanes = lanes](const WorldOptions& world) {
      const auto summary = run("together", world, reward, lanes);
      ASSERT_TRUE(summary) << summary.error().message();
      EXPECT_EQ(summary->last_loss, alone->last_loss);
      EXPECT_EQ(summary->digest, world.rank == 0 ? alone->digest : "");
    });
  }
}

TEST_F(WorldTraining, GoesOnFromItsStateInAnotherNumberOfProcesses) {
  const auto alone = train(options("alone"), set(1), {});
  ASSERT_TRUE(alone) << alone.error().message();
  TrainOptions o = options("resumed");
  o.state = folder_ + "/state";
  int asked = 0;
  on_ranks(2, [&](const WorldOptions& world) {
    TrainOptions mine = o;
    mine.world = world;
    if (world.rank == 1) mine.stop = [&asked] { return ++asked == 3; };  // the other one is told
    const auto stopped = train(mine, set(1), {});
    ASSERT_FALSE(stopped);
    EXPECT_NE(stopped.error().what.find("after step 3"), std::string::npos) << stopped.error().what;
  });
  const auto resumed = train(o, set(1), {});
  ASSERT_TRUE(resumed) << resumed.error().message();
  EXPECT_EQ(resumed->digest, alone->digest);
}

TEST_F(WorldTraining, RefusesWhatItCannotDo) {
  TrainOptions o = options("a");
  o.world = {0, 9, "127.0.0.1", 1};
  const auto many = train(o, set(1), {});
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().what, "9 processes are too many for 4 lanes");
  EXPECT_EQ(many.error().hint, "use up to 4, or more --lanes (up to 64; results depend on it)");
  o.world.size = 2;
  o.lanes = 1;
  const auto two = train(o, set(1), {});
  ASSERT_FALSE(two);
  EXPECT_EQ(two.error().what, "2 processes are too many for 1 lane");
  o.world = {};
  for (const int lanes : {-1, 0, 65}) {
    o.lanes = lanes;
    const auto refused = train(o, set(1), {});
    ASSERT_FALSE(refused) << lanes;
    EXPECT_NE(refused.error().what.find("lanes must be between 1 and 64"), std::string::npos) << refused.error().what;
  }
}

TEST_F(WorldTraining, RefusesAProcessOfOtherLanes) {
  on_ranks(2, [&](const WorldOptions& world) {
    TrainOptions o = options("together");
    o.world = world;
    o.lanes = world.rank == 0 ? 4 : 8;
    const auto refused = train(o, set(1), {});
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().what.find("other options"), std::string::npos) << refused.error().what;
  });
}

}  // namespace
}  // namespace precept
