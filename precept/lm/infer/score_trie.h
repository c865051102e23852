#pragma once
// Token sequences that share beginnings, as a tree: what is shared is computed once.

#include <cstdint>
#include <vector>

namespace precept::infer {

class ScoreTrie {
 public:
  // Log-probability of `target` at the row `offset` of a node, to be stored as value number `value`.
  struct Want {
    int offset = 0;
    std::int32_t target = 0;
    std::size_t value = 0;
  };
  struct Node {
    int parent = -1;  // -1: starts at position 0
    int start = 0;    // position of tokens[0]
    std::vector<std::int32_t> tokens;
    std::vector<int> children;
    std::vector<Want> wants;  // by offset, after sort()
  };

  // Adds a sequence; returns how many of its tokens were not there yet.
  int insert(const std::vector<std::int32_t>& tokens);
  // Wants log p(target | tokens[0..position]) along an inserted sequence. After the last insert.
  void want(const std::vector<std::int32_t>& tokens, int position, std::int32_t target, std::size_t value);
  // Orders wants; returns nodes so that parents come before children.
  std::vector<int> sort();

  const std::vector<Node>& nodes() const { return nodes_; }

 private:
  int child(int node, std::int32_t token) const;  // -1: none
  void split(int node, int at);

  std::vector<Node> nodes_;
  std::vector<int> roots_;
};

}  // namespace precept::infer
