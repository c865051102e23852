#include "precept/lm/torch/train_ops.h"

#include <cmath>

#include <torch/csrc/autograd/custom_function.h>
#include <torch/version.h>

namespace precept::on_device {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// With r = 1 / rms(x) and g = dy w:  dx = r (g - x r^2 mean(g x)),  dw = sum over rows of dy x r.
struct RmsNorm : Function<RmsNorm> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, double eps, std::int64_t type) {
    const at::Tensor r = (x.square().mean(-1, true) + eps).rsqrt_();
    ctx->save_for_backward({x, weight, r});
    return (x * r).mul_(weight).to(static_cast<at::ScalarType>(type));
  }
  static variable_list backward(AutogradContext* ctx, variable_list d) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &r = saved[2];
    const at::Tensor dy = d[0].to(at::kFloat), unit = x * r;
    at::Tensor dweight;
    if (ctx->needs_input_grad(1)) dweight = (dy * unit).reshape({-1, weight.size(0)}).sum(0);
    const at::Tensor g = dy * weight;
    const at::Tensor dx = (g - unit * (g * unit).mean(-1, true)).mul_(r);
    return {dx, dweight, at::Tensor(), at::Tensor()};
  }
};

at::Tensor turned(const at::Tensor& heads, const at::Tensor& cosines, const at::Tensor& sines, double direction) {
  const std::int64_t half = heads.size(-1) / 2;
  const at::Tensor first = heads.narrow(-1, 0, half), second = heads.narrow(-1, half, half);
  return at::cat({at::addcmul(first * cosines, second, sines, -direction), at::addcmul(second * cosines, first, sines, direction)}, -1);
}

// Linear: backwards turns the other way.
struct Rotate : Function<Rotate> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& heads, const at::Tensor& cosines, const at::Tensor& sines, std::int64_t type) {
    ctx->save_for_backward({cosines, sines});
    return turned(heads.to(at::kFloat), cosines, sines, 1).to(static_cast<at::ScalarType>(type));
  }
  static variable_list backward(AutogradContext* ctx, variable_list d) {
    const variable_list saved = ctx->get_saved_variables();
    return {turned(d[0].to(at::kFloat), saved[0], saved[1], -1), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct Swiglu : Function<Swiglu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_up, std::int64_t type) {
    ctx->save_for_backward({gate_up});
    const std::int64_t f = gate_up.size(-1) / 2;
    const auto half = [&](std::int64_t from) { return gate_up.narrow(-1, from, f).to(at::kFloat); };
    return (at::silu(half(0)) * half(f)).to(static_cast<at::ScalarType>(type));
  }
  static variable_list backward(AutogradContext* ctx, variable_list d) {
    const at::Tensor gate_up = ctx->get_saved_variables()[0];
    const std::int64_t f = gate_up.size(-1) / 2;
    const at::Tensor gate = gate_up.narrow(-1, 0, f).to(at::kFloat), up = gate_up.narrow(-1, f, f).to(at::kFloat), dy = d[0].to(at::kFloat);
    const at::Tensor out = at::empty_like(gate_up);
    out.narrow(-1, 0, f).copy_(at::silu_backward(dy * up, gate));
    out.narrow(-1, f, f).copy_(dy * at::silu(gate));
    return {out, at::Tensor()};
  }
};

// q [S, H, L, D], k and v [S, H, L, D].
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, std::int64_t window) {
  const std::int64_t length = q.size(2);
  at::Tensor mask;  // [L, L]: true where a key is seen
  const auto causal = [&] {
    const at::Tensor at = at::arange(length, q.options().dtype(at::kLong));
    const at::Tensor query = at.unsqueeze(1), key = at.unsqueeze(0);
    return window > 0 ? (key <= query).logical_and_(key > query - window) : key <= query;
  };
#if TORCH_VERSION_MAJOR >= 2
  if (window == 0 || window >= length) return at::scaled_dot_product_attention(q, k, v, {}, 0.0, true);
  return at::scaled_dot_product_attention(q, k, v, causal());
#else
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(-1)));
  const at::Tensor scores = at::matmul(q.to(at::kFloat), k.to(at::kFloat).transpose(-1, -2)) * scale;
  const at::Tensor shares = scores.masked_fill(causal().logical_not(), -INFINITY).softmax(-1);
  return at::matmul(shares, v.to(at::kFloat)).to(q.scalar_type());
#endif
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, at::ScalarType type) {
  return RmsNorm::apply(x, weight, eps, static_cast<std::int64_t>(type));
}

at::Tensor rotate(const at::Tensor& heads_TnD, const at::Tensor& cosines, const at::Tensor& sines, at::ScalarType type) {
  return Rotate::apply(heads_TnD, cosines, sines, static_cast<std::int64_t>(type));
}

at::Tensor swiglu(const at::Tensor& gate_up, at::ScalarType type) { return Swiglu::apply(gate_up, static_cast<std::int64_t>(type)); }

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const GroupedAttention& plan, std::int64_t window) {
  const std::int64_t H = q.size(1), G = k.size(1), D = q.size(2), M = H / G;
  std::vector<at::Tensor> results;
  for (const AttentionGroup& group : plan.groups) {
    const std::int64_t S = group.count, L = group.length;
    // What pads a sequence lies behind it, so no row of its own sees it; and what it attends to itself nobody reads.
    const auto gathered = [&](const at::Tensor& rows, std::int64_t heads) {
      const at::Tensor some = group.row_of.defined() ? rows.index_select(0, group.row_of) : rows;
      return some.view({S, L, heads, D}).transpose(1, 2);
    };
    const auto repeated = [&](const at::Tensor& rows) {
      const at::Tensor heads = gathered(rows, G);
      return M == 1 ? heads : heads.unsqueeze(2).expand({S, G, M, L, D}).reshape({S, H, L, D});
    };
    results.push_back(attend(gathered(q, H), repeated(k), repeated(v), window).transpose(1, 2).reshape({S * L, H * D}));
  }
  const at::Tensor all = results.size() == 1 ? results[0] : at::cat(results);
  return plan.back.defined() ? all.index_select(0, plan.back) : all;
}

}  // namespace precept::on_device
