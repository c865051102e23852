// The CPU's sampler against a nucleus written plainly, in double precision.
#include "precept/lm/infer/sampler.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <numeric>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "precept/core/rng.h"

namespace precept::nn {
extern const RowKernels kPortableRowKernels[2];
}

namespace precept::infer {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// What a share of the whole may be off by: exp is good to about 2 ulp (2.4e-7), its argument to two roundings (of it: p |log p| 1.2e-7
// of the whole), and 2,048 weights are summed in fp32, over 4 places at least: 512 roundings to 2^-25 of the sum, 1.5e-5 if all go one way.
// A draw that lies as near to where one token's share ends may give either neighbour.
constexpr double kNear = 2e-5;

// The tokens in the order in which they share the draws, and where each one's share ends (of all `choices` tokens).
class Plain {
 public:
  Plain(const std::vector<float>& logits, int choices, const Sampling& sampling) : nucleus_(sampling.top_p < 1), top_p_(sampling.top_p) {
    const double temperature = std::max(sampling.temperature, 1e-4);
    const double top = *std::max_element(logits.begin(), logits.begin() + choices);
    double sum = 0;
    for (int id = 0; id < choices; ++id) {
      shares_.push_back(std::exp((double(logits[static_cast<std::size_t>(id)]) - top) / temperature));
      sum += shares_.back();
    }
    for (double& share : shares_) share /= sum;
    order_.resize(shares_.size());
    std::iota(order_.begin(), order_.end(), 0);
    if (nucleus_) std::stable_sort(order_.begin(), order_.end(), [this](int a, int b) { return share(a) > share(b); });
    for (const int id : order_) ends_.push_back(share(id) + (ends_.empty() ? 0.0 : ends_.back()));
  }

  double share(int id) const { return shares_[static_cast<std::size_t>(id)]; }

  // Whether this draw may give this token: the nucleus is as long as top_p says, give or take kNear, and the draw lies in the token's share
  // of it, give or take kNear. A token whose share is zero never is right.
  bool right(int id, double uniform) const {
    if (id < 0 || static_cast<std::size_t>(id) >= shares_.size() || share(id) == 0) return false;
    const std::size_t at = static_cast<std::size_t>(std::find(order_.begin(), order_.end(), id) - order_.begin());
    const std::size_t least = nucleus_ ? kept(top_p_ - kNear) : ends_.size(), most = nucleus_ ? kept(top_p_ + kNear) : ends_.size();
    for (std::size_t count = std::max(least, at + 1); count <= most; ++count) {
      const double begin = (ends_[at] - share(id)) / ends_[count - 1], end = ends_[at] / ends_[count - 1];
      if (uniform > begin - kNear && uniform < end + kNear) return true;
    }
    // What rounding leaves beyond the end is the most probable token's.
    return uniform > 1 - kNear && id == std::max_element(shares_.begin(), shares_.end()) - shares_.begin();
  }

 private:
  // The fewest whose shares reach p.
  std::size_t kept(double p) const {
    const auto last = std::lower_bound(ends_.begin(), ends_.end(), p);
    return std::min(static_cast<std::size_t>(last - ends_.begin()) + 1, ends_.size());
  }

  bool nucleus_;
  double top_p_;
  std::vector<double> shares_, ends_;  // shares by id; ends along the order
  std::vector<int> order_;
};

std::vector<double> draws() {
  std::vector<double> all = {0, 0x1p-53, 1e-9, 0.1, 0.25, 0.5, 0.75, 0.9, 1 - 1e-4, 1 - 0x1p-24, 1 - 0x1p-53};  // the last two: the largest below 1
  Rng rng({5, 0, 0, 0});
  for (int i = 0; i < 200; ++i) all.push_back(rng.uniform());
  return all;
}

// Whole sixty-fourths: many are equal, and what is not equal differs by more than exp's rounding, which could change its order.
std::vector<float> random_logits(int count, double spread, std::uint64_t seed) {
  Rng rng({seed, static_cast<std::uint64_t>(count), 0, 0});
  std::vector<float> logits(static_cast<std::size_t>(count));
  for (float& logit : logits) logit = static_cast<float>(std::nearbyint(64 * spread * rng.normal()) / 64);
  return logits;
}

struct Case {
  std::string name;
  std::vector<float> logits;
};

std::vector<Case> cases() {
  std::vector<Case> all = {{"one token", {-3}}, {"two equal ones", {2, 2}}, {"ties", {1, 3, 3, 0, 3, 1, 1, 0}}};
  all.push_back({"all equal", std::vector<float>(37, -5)});
  all.push_back({"one huge", random_logits(50, 1, 1)});
  all.back().logits[31] = 3e38F;  // the others lie beyond what exp can tell from nothing
  all.push_back({"some impossible", random_logits(50, 1, 2)});
  for (const std::size_t id : {0, 1, 2, 17, 48, 49}) all.back().logits[id] = -kInf;
  all.push_back({"one possible", std::vector<float>(20, -kInf)});
  all.back().logits[13] = 0;
  all.push_back({"the last one most probable", {-1, -2, -3, 5}});
  for (const int count : {15, 16, 17, 100, 1000}) all.push_back({std::to_string(count) + " at random", random_logits(count, 2, 3)});
  return all;
}

struct Table {
  const nn::RowKernels* kernels;
};
void PrintTo(const Table& table, std::ostream* out) { *out << table.kernels->name; }

class SamplerOf : public testing::TestWithParam<Table> {};

TEST_P(SamplerOf, DrawsFromTheNucleus) {
  Sampler sampler(*GetParam().kernels);
  for (const Case& one : cases()) {
    const int count = static_cast<int>(one.logits.size());
    for (const double temperature : {0.3, 1.0, 2.0}) {
      for (const double top_p : {0.1, 0.5, 0.9, 1 - 1e-9, 1.0}) {
        Sampling sampling;
        sampling.temperature = temperature;
        sampling.top_p = top_p;
        const Plain plain(one.logits, count, sampling);
        for (const double uniform : draws()) {
          const int picked = sampler.pick(one.logits.data(), count, sampling, uniform);
          ASSERT_TRUE(plain.right(picked, uniform)) << one.name << ", temperature " << temperature << ", top-p " << top_p << ", draw " << uniform
                                                    << ": " << picked;
        }
      }
    }
  }
}

// Powers of two, whose shares and sums are exact: here each draw has one right token, boundaries included.
TEST_P(SamplerOf, DrawsExactlyWhereNothingRounds) {
  Sampler sampler(*GetParam().kernels);
  const std::vector<float> four(4, 1.5F);
  Sampling sampling;
  const std::vector<std::pair<double, int>> kept_by = {{1.0, 4}, {0.75, 3}, {0.5, 2}, {0.26, 2}, {0.25, 1}, {0.01, 1}};
  for (const auto& [top_p, kept] : kept_by) {
    sampling.top_p = top_p;
    for (int token = 0; token < kept; ++token) {
      const double begin = double(token) / kept;
      EXPECT_EQ(sampler.pick(four.data(), 4, sampling, kept == 3 ? begin + 1e-15 : begin), token) << top_p;
      EXPECT_EQ(sampler.pick(four.data(), 4, sampling, double(token + 1) / kept - 1e-15), token) << top_p;
    }
  }
}

TEST_P(SamplerOf, TakesTheFirstOfTheLargestAtTemperatureZero) {
  Sampler sampler(*GetParam().kernels);
  Sampling sampling;
  sampling.temperature = 0;
  for (const Case& one : cases()) {
    const auto largest = std::max_element(one.logits.begin(), one.logits.end()) - one.logits.begin();
    for (const double top_p : {0.1, 1.0}) {
      sampling.top_p = top_p;
      for (const double uniform : {0.0, 0.5, 1 - 0x1p-53}) {
        EXPECT_EQ(sampler.pick(one.logits.data(), static_cast<int>(one.logits.size()), sampling, uniform), largest) << one.name;
      }
    }
  }
}

// A vocabulary may be wider than its tokenizer: what lies beyond `choices` is not a token, whatever its logit, and takes no share.
TEST_P(SamplerOf, NeverTakesWhatIsNoToken) {
  Sampler sampler(*GetParam().kernels);
  for (const int choices : {1, 3, 16, 21, 100}) {
    const std::vector<float> within = random_logits(choices, 1, 4);
    std::vector<float> wider = within;
    wider.insert(wider.end(), {within[0], 1e6F, kInf, std::nanf("")});
    for (const double temperature : {0.0, 1.0}) {
      for (const double top_p : {0.5, 1.0}) {
        Sampling sampling;
        sampling.temperature = temperature;
        sampling.top_p = top_p;
        for (const double uniform : draws()) {
          const int picked = sampler.pick(wider.data(), choices, sampling, uniform);
          ASSERT_LT(picked, choices);
          ASSERT_EQ(picked, sampler.pick(within.data(), choices, sampling, uniform)) << choices << " choices, draw " << uniform;
        }
      }
    }
  }
}

TEST_P(SamplerOf, VeryLowTemperaturesAreOneTenThousandth) {
  Sampler sampler(*GetParam().kernels);
  const std::vector<float> logits = {0, 1e-4F};  // e to 1 there, and beyond telling apart at what is asked for
  Sampling low, least;
  low.temperature = 1e-9;
  least.temperature = 1e-4;
  int first = 0;
  for (const double uniform : draws()) {
    const int picked = sampler.pick(logits.data(), 2, low, uniform);
    EXPECT_EQ(picked, sampler.pick(logits.data(), 2, least, uniform));
    first += picked == 0 ? 1 : 0;
  }
  EXPECT_GT(first, 20);  // 27% of some 200
}

// As many tokens as models of the field have, a share of about a hundred-thousandth each: the draws near 1 are the last tokens', not the most
// probable one's, and those tokens are not lost. (A single fp32 sum rounds all of them one way: it was off by 24 times kNear.)
TEST_P(SamplerOf, KeepsTheSharesOfManyTokens) {
  Sampler sampler(*GetParam().kernels);
  constexpr int kTokens = 151936;
  for (const double rest : {1e-3, 2e-5}) {
    std::vector<float> logits(kTokens, static_cast<float>(std::log(rest)));
    logits[7] = 0;
    Sampling sampling;
    for (const double top_p : {0.9, 1.0}) {
      sampling.top_p = top_p;
      const Plain plain(logits, kTokens, sampling);
      for (const double uniform : {0.0, 1e-3, 0.3, 0.9, 0.999, 0.9999, 0.99995, 0.99997}) {
        const int picked = sampler.pick(logits.data(), kTokens, sampling, uniform);
        EXPECT_TRUE(plain.right(picked, uniform)) << rest << ", top-p " << top_p << ", draw " << uniform << ": " << picked;
      }
    }
    const auto softmax = log_softmax(*GetParam().kernels, kTokens, logits.data());
    ASSERT_TRUE(softmax.has_value());
    EXPECT_NEAR(softmax->of(0.0F), -std::log1p((kTokens - 1) * std::exp(double(logits[0]))), kNear);
  }
}

TEST_P(SamplerOf, LogSoftmaxIsDefinedUnlessNaNOrInfinityIsThere) {
  for (const std::size_t at : {0U, 5U, 18U, 19U}) {
    std::vector<float> logits = random_logits(20, 2, 6);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(double(logit));
    const auto softmax = log_softmax(*GetParam().kernels, 20, logits.data());
    ASSERT_TRUE(softmax.has_value());
    EXPECT_NEAR(softmax->of(logits[at]), double(logits[at]) - std::log(sum), 1e-6);
    for (const float bad : {std::nanf(""), kInf}) {
      logits[at] = bad;
      EXPECT_FALSE(log_softmax(*GetParam().kernels, 20, logits.data()).has_value()) << at;
    }
    logits[at] = -kInf;
    ASSERT_TRUE(log_softmax(*GetParam().kernels, 20, logits.data()).has_value());
    EXPECT_EQ(log_softmax(*GetParam().kernels, 20, logits.data())->of(-kInf), -double(kInf));
  }
}

std::vector<Table> tables() {
  std::vector<Table> all = {{&nn::kPortableRowKernels[0]}};
  for (const nn::Precision precision : {nn::Precision::kFp32, nn::Precision::kBf16}) {
    if (std::string(nn::row_kernels(precision).name) != all.back().kernels->name) all.push_back({&nn::row_kernels(precision)});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Kernels, SamplerOf, testing::ValuesIn(tables()), [](const auto& table) {
  std::string name = table.param.kernels->name;
  std::replace_if(name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace precept::infer
