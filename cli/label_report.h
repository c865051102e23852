#pragma once
// What preference labels are worth: position bias, agreement with the truth, calibration.

#include <string>
#include <vector>

#include "precept/core/estimate.h"
#include "precept/feedback/labels.h"
#include "worlds/pocket/oracle.h"

namespace precept {

class LabelReport {
 public:
  // `given`: the pairs came with their order, chosen first, and that is the truth. Otherwise the truth is the pocket world's oracle,
  // for prompts that are its own: by the principle of the pair, one answer keeps it and the other breaks it; and by the whole
  // constitution.
  LabelReport(const Constitution& constitution, bool given);
  void add(const PairLabel& pair);
  std::string text() const;
  std::string json() const;

  LabelCounts counts;
  std::int64_t revisions = 0;

 private:
  struct Worth {
    std::vector<Prediction> predictions;  // of the probability of the better one, every other pair turned round
    std::int64_t ties = 0;                // the truth does not tell the two apart
    void add(double probability, bool right);
    Estimate agreement() const;
  };
  Constitution constitution_;
  bool given_;
  pocket::PocketOracle oracle_;
  Worth by_principle_, overall_;
  std::vector<double> labels_, bias_;  // P("A") - 1/2, averaged over both orders
  std::int64_t flips_ = 0;             // pairs whose winner depends on the order
};

}  // namespace precept
