// Backward attention of one head against a plain reading of its formulas in double, written here: no blocks, no packing.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "precept/core/rng.h"
#include "precept/lm/nn/head.h"

namespace precept {
namespace {

using nn::kBlockRows;

struct Shape {
  int length, dim, window, group;  // group: query heads on one key and value head
};

// Rows of q (all heads), key and value one after the other as in the trainer, with floats before and behind that are nobody's.
struct Rows {
  Rows(const Shape& s, std::size_t spare)
      : shape(s), row(std::size_t((s.group + 2) * s.dim) + 2 * spare), out_row(std::size_t(s.group * s.dim) + spare), spare_(spare),
        qkv(std::size_t(s.length) * row, kNobodys), dqkv(qkv), dout(std::size_t(s.length) * out_row, kNobodys) {
    Rng rng({11, 0, 0, 0});
    for (int i = 0; i < s.length; ++i) {
      for (int c = 0; c < (s.group + 2) * s.dim; ++c) {
        qkv[at(i, 0) + std::size_t(c)] = float(rng.normal());
        dqkv[at(i, 0) + std::size_t(c)] = float(0.01 * rng.normal());
      }
      for (int c = 0; c < s.group * s.dim; ++c) dout[std::size_t(i) * out_row + std::size_t(c)] = float(rng.normal());
    }
  }
  // Of query head `head` in position i; the key is head `group`, the value the next.
  std::size_t at(int i, int head) const { return std::size_t(i) * row + spare_ + std::size_t(head * shape.dim); }
  std::vector<float> gradients(const nn::Kernels& k, nn::HeadScratch& scratch) const {
    std::vector<float> d = dqkv;
    const nn::Head head{k, shape.length, shape.dim, shape.window, row, out_row, scratch};
    const float *key = qkv.data() + at(0, shape.group), *value = qkv.data() + at(0, shape.group + 1);
    for (int h = 0; h < shape.group; ++h) {
      head.backward(qkv.data() + at(0, h), key, value, dout.data() + std::size_t(h * shape.dim), d.data() + at(0, h), d.data() + at(0, shape.group),
                    d.data() + at(0, shape.group + 1));
    }
    return d;
  }

  static constexpr float kNobodys = 1e30F;
  Shape shape;
  std::size_t row, out_row, spare_;
  std::vector<float> qkv, dqkv, dout;  // dqkv: what the gradients are added to
};

// What the gradients should be: of softmax(q k / sqrt(dim)) v for every position over the last `window` up to itself.
std::vector<double> reference(const Rows& rows) {
  const Shape& s = rows.shape;
  std::vector<double> d(rows.dqkv.begin(), rows.dqkv.end());
  const double scale = 1.0 / std::sqrt(double(s.dim));
  const auto dot = [&](const float* a, const float* b) {
    double sum = 0;
    for (int c = 0; c < s.dim; ++c) sum += double(a[c]) * double(b[c]);
    return sum;
  };
  for (int h = 0; h < s.group; ++h) {
    for (int i = 0; i < s.length; ++i) {
      const float *q = rows.qkv.data() + rows.at(i, h), *dout = rows.dout.data() + std::size_t(i) * rows.out_row + std::size_t(h * s.dim);
      const int first = s.window > 0 ? std::max(0, i + 1 - s.window) : 0;
      std::vector<double> p, dp;
      double sum = 0, mean = 0;
      for (int j = first; j <= i; ++j) {
        p.push_back(std::exp(scale * dot(q, rows.qkv.data() + rows.at(j, s.group))));
        dp.push_back(dot(dout, rows.qkv.data() + rows.at(j, s.group + 1)));
        sum += p.back();
        mean += p.back() * dp.back();
      }
      for (int j = first; j <= i; ++j) {
        const double share = p[std::size_t(j - first)] / sum, ds = share * (dp[std::size_t(j - first)] - mean / sum) * scale;
        for (int c = 0; c < s.dim; ++c) {
          d[rows.at(i, h) + std::size_t(c)] += ds * double(rows.qkv[rows.at(j, s.group) + std::size_t(c)]);
          d[rows.at(j, s.group) + std::size_t(c)] += ds * double(q[c]);
          d[rows.at(j, s.group + 1) + std::size_t(c)] += share * double(dout[c]);
        }
      }
    }
  }
  return d;
}

// The largest error of a position's gradient of one head, as a share of that gradient (what was there before left out) and of the
// head's mean (positions that hardly anybody sees have a small one), or of 1e-6: with a window of 1 those of scores are 0.
double worst(const Rows& rows, const std::vector<float>& got, const std::vector<double>& expected) {
  const Shape& s = rows.shape;
  double most = 0;
  for (int head = 0; head < s.group + 2; ++head) {
    std::vector<double> errors, sizes;
    double mean = 0;
    for (int i = 0; i < s.length; ++i) {
      double error = 0, size = 0;
      for (std::size_t at = rows.at(i, head); at < rows.at(i, head + 1); ++at) {
        error += std::pow(double(got[at]) - expected[at], 2);
        size += std::pow(expected[at] - double(rows.dqkv[at]), 2);
      }
      errors.push_back(std::sqrt(error));
      sizes.push_back(std::sqrt(size));
      mean += sizes.back() / s.length;
    }
    for (std::size_t i = 0; i < errors.size(); ++i) {
      if (!std::isfinite(errors[i])) return errors[i];
      most = std::max(most, errors[i] / (sizes[i] + mean + 1e-6));
    }
  }
  return most;
}

// Lengths from one row to several blocks, odd ones; windows within a block, beyond one, of a whole one, of all.
std::vector<Shape> shapes() {
  constexpr int kLong = 2 * kBlockRows + 157;
  return {{1, 6, 0, 1}, {2, 7, 1, 2}, {57, 40, 0, 1}, {kBlockRows, 16, 0, 1}, {kBlockRows + 1, 7, 0, 2}, {kLong, 64, 0, 3}, {kLong, 15, 1, 1},
          {kLong, 64, 45, 3}, {kLong, 16, kBlockRows - 13, 1}, {kLong, 16, kBlockRows, 2}, {kLong, 33, kBlockRows + 46, 1}, {kLong, 16, kLong - 1, 1},
          {kLong, 8, kLong, 1}, {4 * kBlockRows, 8, 100, 1}};
}

std::string name(const nn::Kernels& k, const Shape& s) {
  return std::string(k.name) + ": " + std::to_string(s.length) + " x " + std::to_string(s.dim) + ", window " + std::to_string(s.window) + ", group " +
         std::to_string(s.group);
}

// Sums of some hundred terms of either sign, each rounded by 2^-24, and exponentials to 2 ulp, of scores up to 5: 5e-7 is what to
// expect of the worst, the bound ten times that.
TEST(Head, GradientsAreThoseOfTheFormulas) {
  for (const nn::Kernels* k : {&nn::portable_kernels(), &nn::kernels()}) {
    for (const Shape& shape : shapes()) {
      const Rows rows(shape, 3);
      nn::HeadScratch scratch;
      const std::vector<float> got = rows.gradients(*k, scratch);
      EXPECT_LT(worst(rows, got, reference(rows)), 5e-6) << name(*k, shape);
      for (std::size_t i = 0; i < got.size(); ++i) ASSERT_TRUE(rows.dqkv[i] != Rows::kNobodys || got[i] == Rows::kNobodys) << name(*k, shape);
    }
  }
}

// Each factor is rounded by up to 2^-9 = 0.2%, three products lie behind one another, and where terms are few nothing averages out:
// 0.9% is the worst here. A panel of keys left out is 10% and more.
TEST(Head, GradientsOfBf16ProductsAreNearlyThoseOfTheFormulas) {
  if (!nn::bf16_kernels()) GTEST_SKIP() << "this processor has no bf16 products";
  for (const Shape& shape : shapes()) {
    const Rows rows(shape, 3);
    nn::HeadScratch scratch;
    const double error = worst(rows, rows.gradients(*nn::bf16_kernels(), scratch), reference(rows));
    EXPECT_LT(error, 0.02) << name(*nn::bf16_kernels(), shape);
    EXPECT_GT(error, 1e-4) << "these are not products of bf16";
  }
}

// Neither on what scratch held before, nor on where rows lie.
TEST(Head, GradientsDependOnTheSequenceAlone) {
  std::vector<const nn::Kernels*> tables{&nn::portable_kernels(), &nn::kernels()};
  if (nn::bf16_kernels()) tables.push_back(nn::bf16_kernels());
  for (const nn::Kernels* k : tables) {
    nn::HeadScratch used;
    Rows({5 * kBlockRows, 64, 0, 1}, 0).gradients(*k, used);
    for (const Shape& shape : shapes()) {
      const Rows rows(shape, 3), elsewhere(shape, 20);
      nn::HeadScratch scratch;
      const std::vector<float> expected = rows.gradients(*k, scratch);
      for (nn::Floats* floats : {&used.p_BS, &used.ds_BS, &used.keys, &used.values, &used.factor}) {
        std::fill(floats->begin(), floats->end(), std::numeric_limits<float>::quiet_NaN());
      }
      const std::vector<float> got = elsewhere.gradients(*k, used);
      const std::size_t bytes = sizeof(float) * std::size_t((shape.group + 2) * shape.dim);
      for (int i = 0; i < shape.length; ++i) {
        ASSERT_EQ(std::memcmp(expected.data() + rows.at(i, 0), got.data() + elsewhere.at(i, 0), bytes), 0) << name(*k, shape) << ", position " << i;
      }
    }
  }
}

// What is held for a sequence grows with its length, not with its square; with a window, scores not even with that.
TEST(Head, HoldsABlockOfRows) {
  constexpr int kLength = 10 * kBlockRows, kDim = 8;
  for (const int window : {0, 300}) {
    nn::HeadScratch scratch;
    Rows({kLength, kDim, window, 1}, 0).gradients(nn::kernels(), scratch);
    const std::size_t keys = window > 0 ? std::size_t(window + kBlockRows) : std::size_t(kLength);
    for (const nn::Floats* scores : {&scratch.p_BS, &scratch.ds_BS}) EXPECT_LE(scores->size(), kBlockRows * (keys + 64)) << window;
    for (const nn::Floats* packed : {&scratch.keys, &scratch.values, &scratch.factor}) {
      EXPECT_LE(packed->size(), nn::packed_size(std::size_t(kLength), nn::kPanel)) << window;
    }
  }
}

}  // namespace
}  // namespace precept
