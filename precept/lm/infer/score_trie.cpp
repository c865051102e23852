#include "precept/lm/infer/score_trie.h"

#include <algorithm>

#include "precept/core/result.h"

namespace precept::infer {

int ScoreTrie::child(int node, std::int32_t token) const {
  for (const int c : node < 0 ? roots_ : nodes_[node].children) {
    if (nodes_[c].tokens[0] == token) return c;
  }
  return -1;
}

// The node keeps its first `at` tokens; a new child takes the rest and all children.
void ScoreTrie::split(int node, int at) {
  const int rest = static_cast<int>(nodes_.size());
  nodes_.emplace_back();
  Node& head = nodes_[node];
  Node& tail = nodes_[rest];
  tail.parent = node;
  tail.start = head.start + at;
  tail.tokens.assign(head.tokens.begin() + at, head.tokens.end());
  tail.children = std::move(head.children);
  for (const int c : tail.children) nodes_[c].parent = rest;
  head.tokens.resize(static_cast<std::size_t>(at));
  head.children = {rest};
}

int ScoreTrie::insert(const std::vector<std::int32_t>& tokens) {
  const int size = static_cast<int>(tokens.size());
  int node = -1;
  for (int i = 0; i < size;) {
    const int next = child(node, tokens[i]);
    if (next < 0) {
      Node leaf;
      leaf.parent = node;
      leaf.start = i;
      leaf.tokens.assign(tokens.begin() + i, tokens.end());
      (node < 0 ? roots_ : nodes_[node].children).push_back(static_cast<int>(nodes_.size()));
      nodes_.push_back(std::move(leaf));
      return size - i;
    }
    const int length = static_cast<int>(nodes_[next].tokens.size());
    int same = 1;
    while (same < length && i + same < size && nodes_[next].tokens[same] == tokens[i + same]) ++same;
    if (same < length && i + same < size) split(next, same);
    node = next;
    i += same;
  }
  return 0;
}

void ScoreTrie::want(const std::vector<std::int32_t>& tokens, int position, std::int32_t target,
                     std::size_t value) {
  int node = -1;
  for (int i = 0; i <= position;) {
    node = child(node, tokens[i]);
    PRECEPT_CHECK(node >= 0);
    const int length = static_cast<int>(nodes_[node].tokens.size());
    if (position < i + length) {
      nodes_[node].wants.push_back({position - i, target, value});
      return;
    }
    i += length;
  }
}

std::vector<int> ScoreTrie::sort() {
  for (Node& node : nodes_) {
    std::stable_sort(node.wants.begin(), node.wants.end(),
                     [](const Want& a, const Want& b) { return a.offset < b.offset; });
  }
  std::vector<int> order = roots_;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::vector<int>& children = nodes_[order[i]].children;
    order.insert(order.end(), children.begin(), children.end());
  }
  return order;
}

}  // namespace precept::infer
