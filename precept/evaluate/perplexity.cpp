#include "precept/evaluate/perplexity.h"

#include <cmath>

#include "precept/evaluate/json.h"
#include "precept/model/pump.h"

namespace precept {
namespace {

constexpr const char* kSpace = " \t\r\n";

struct One {
  double logprob = 0;
  std::int64_t bytes = 0, tokens = 0;
};

// Where the part of a text that is scored begins; npos when there is none.
std::size_t beginning(const std::string& text) {
  const std::size_t word = text.find_first_not_of(kSpace);
  if (word == std::string::npos) return word;
  std::size_t end = text.find_first_of(kSpace, word);
  // Ideographs, kana, Hangul syllables and all beyond the first plane begin with these bytes.
  const auto lead = static_cast<unsigned char>(text[word]);
  if (lead >= 0xE3) end = word + (lead >= 0xF0 ? 4 : 3);
  return end != std::string::npos && end + 1 < text.size() ? end : std::string::npos;
}

Perplexity total(const std::vector<std::optional<One>>& results) {
  Perplexity out;
  out.texts = static_cast<std::int64_t>(results.size());
  double logprob = 0;
  std::vector<double> each;
  for (const auto& one : results) {
    if (!one) {
      ++out.unscored;
      continue;
    }
    logprob += one->logprob;
    out.bytes += one->bytes;
    out.tokens += one->tokens;
    each.push_back(-one->logprob / std::log(2.0) / static_cast<double>(one->bytes));
  }
  if (out.bytes > 0) out.bits_per_byte = -logprob / std::log(2.0) / static_cast<double>(out.bytes);
  if (out.tokens > 0) out.per_token = std::exp(-logprob / static_cast<double>(out.tokens));
  out.text_bits_per_byte = mean(each, out.unscored);
  return out;
}

}  // namespace

Result<Perplexity> perplexity(Model& model, const std::vector<std::string>& texts, const EventSink& events,
                              int in_flight) {
  if (!model.info().can_score || model.info().words_only) {
    return bad_input("this model gives no scores of whole texts, so no perplexity", "use a checkpoint folder or the built-in model");
  }
  std::vector<std::optional<One>> results(texts.size());
  std::vector<std::size_t> asked, split(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    split[i] = beginning(texts[i]);
    if (split[i] != std::string::npos) asked.push_back(i);
  }
  const auto submit = [&](std::size_t k, const std::function<void(Status)>& done) {
    const std::size_t i = asked[k];
    ScoreRequest request;
    request.raw = true;
    request.messages = {{"user", texts[i].substr(0, split[i])}};
    request.questions = {{"", {texts[i].substr(split[i])}}};
    model.submit(std::move(request), [&, i, done](Result<Scores> answer) {
      if (!answer) {  // say, longer than the context
        return done(answer.error().kind == ErrorKind::kBadInput ? Status() : Status(tl::unexpected(answer.error())));
      }
      if (answer->logprobs.size() == 1 && answer->logprobs[0].size() == 1 &&
          std::isfinite(answer->logprobs[0][0])) {
        results[i] = One{answer->logprobs[0][0], static_cast<std::int64_t>(texts[i].size() - split[i]),
                         answer->usage.output_tokens};
      }
      done({});
    });
  };
  const Status status = pump(model, asked.size(), in_flight, submit, events, "perplexity", "texts");
  if (!status) return tl::unexpected(status.error());
  return total(results);
}

std::string to_json(const Perplexity& p) { return json::dump(json::perplexity(p)) + "\n"; }

}  // namespace precept
