#include "precept/lm/train/state.h"

#include <cstring>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/core/whole_file.h"
#include "precept/lm/train/course.h"

namespace precept {
namespace {

constexpr const char* kFormat = "precept-train-state-2";
constexpr std::size_t kDigestSize = 64;

std::string path_of(const std::string& folder) { return folder + "/train.state"; }

bool take(std::string_view& bytes, std::size_t count, std::vector<float>& values) {
  if (bytes.size() / sizeof(float) < count) return false;
  values.resize(count);
  if (count) std::memcpy(values.data(), bytes.data(), count * sizeof(float));
  bytes.remove_prefix(count * sizeof(float));
  return true;
}

// Options that a fingerprint only has where they are not the default may be missing in either.
std::string differences(const nlohmann::json& state, const nlohmann::json& run) {
  nlohmann::json both = state;
  both.update(run);
  const auto said = [](const nlohmann::json& options, const std::string& name) {
    return options.contains(name) ? options[name].dump() : "the default";
  };
  std::string text;
  for (const auto& entry : both.items()) {
    const std::string was = said(state, entry.key()), now = said(run, entry.key());
    if (was != now) text += fmt::format("{}{} was {}, now {}", text.empty() ? "" : "; ", entry.key(), was, now);
  }
  return text;
}

nlohmann::json readings_json(const std::vector<Reading>& readings) {
  auto all = nlohmann::json::array();
  for (const Reading& r : readings) {
    nlohmann::json one = {{"step", r.step}, {"truth_n", r.truth_n}};
    each_number(r, [&](const char* name, const std::optional<double>& value) {
      if (value) one[name] = *value;
    });
    all.push_back(std::move(one));
  }
  return all;
}

// False: not what readings_json writes.
bool read_readings(const nlohmann::json& all, std::vector<Reading>& readings) {
  if (!all.is_array()) return false;
  for (const auto& one : all) {
    if (!one.is_object()) return false;
    Reading r;
    r.step = one.value("step", std::int64_t{0});
    r.truth_n = one.value("truth_n", std::int64_t{0});
    each_number(r, [&](const char* name, std::optional<double>& value) {
      if (one.contains(name) && one[name].is_number()) value = one[name].template get<double>();
    });
    readings.push_back(r);
  }
  return true;
}

nlohmann::json guard_json(const GuardOptions& g) {
  if (!g.on) return false;
  nlohmann::json prompts = nlohmann::json::array();
  for (const RolloutPrompt& prompt : g.prompts) prompts.push_back(prompt.id);
  return {{"every", g.every}, {"patience", g.patience}, {"min_entropy_share", g.min_entropy_share},
          {"min_distinct_share", g.min_distinct_share}, {"max_repeated_endings", g.max_repeated_endings},
          {"min_length_share", g.min_length_share}, {"max_length_share", g.max_length_share}, {"max_kl", g.max_kl},
          {"max_unparseable", g.max_unparseable}, {"max_truth_fall", g.max_truth_fall}, {"prompts", sha256(prompts.dump())},
          {"max_new_tokens", g.max_new_tokens}};
}

}  // namespace

std::string train_fingerprint(const TrainOptions& o, const Course& course, const LlamaConfig& config, const std::string& start_digest) {
  nlohmann::json fingerprint = {
      {"trainer", course.name}, {"settings", nlohmann::json::parse(course.settings)}, {"guard", guard_json(o.guard)},
      {"from", start_digest}, {"model", llama_config_json(config)}, {"data", course.data_digest},
      {"examples", course.items}, {"epochs", o.epochs}, {"batch_tokens", o.batch_tokens},
      {"max_tokens", o.max_tokens}, {"lr", o.lr}, {"min_lr_share", o.min_lr_share},
      {"warmup_share", o.warmup_share}, {"beta1", o.beta1}, {"beta2", o.beta2}, {"eps", o.eps},
      {"weight_decay", o.weight_decay}, {"clip_norm", o.clip_norm}, {"precision", o.precision}, {"seed", o.seed}};
  // Only where it is not the default, which all runs had before it was an option.
  if (o.lanes != TrainOptions().lanes) fingerprint["lanes"] = o.lanes;
  if (o.device != "cpu") fingerprint["device"] = o.device.substr(0, o.device.find(':'));  // which one of them changes nothing
  if (o.lora.on) {
    fingerprint["lora"] = {{"rank", o.lora.rank}, {"alpha", o.lora.alpha}, {"targets", o.lora.targets}, {"rslora", o.lora.rslora}};
  }
  return fingerprint.dump();
}

Status save_state(const std::string& folder, const TrainState& state) {
  if (Status made = make_folder(folder); !made) return made;
  const TrainSummary& s = state.summary;
  const nlohmann::json head = {
      {"format", kFormat}, {"run", nlohmann::json::parse(state.fingerprint)}, {"kernels", state.kernels},
      {"step", state.optimizer.step}, {"epoch", state.position.epoch}, {"index", state.position.index},
      {"used", state.used}, {"readings", readings_json(state.readings)}, {"good", state.good.size()}, {"good_step", state.good_step},
      {"halted", s.halted}, {"kept_step", s.kept_step},
      {"steps", s.steps}, {"seen", s.examples}, {"truncated", s.truncated}, {"tokens", s.tokens},
      {"trained_tokens", s.trained_tokens}, {"seconds", s.seconds},
      {"parameters", state.optimizer.master.size()}, {"losses", state.losses.size()}};
  // Piece by piece: a copy of all that would be the most memory of the whole run.
  WholeFile file(path_of(folder));
  Sha256 digest;
  const auto write = [&](std::string_view bytes) {
    digest.update(bytes);
    file.write(bytes);
  };
  write(head.dump() + "\n");
  for (const std::vector<float>* floats : {&state.optimizer.master, &state.optimizer.mean, &state.optimizer.square, &state.losses,
                                           &state.weights, &state.good}) {
    write({reinterpret_cast<const char*>(floats->data()), floats->size() * sizeof(float)});
  }
  file.write(digest.finish());
  return file.finish();
}

Result<std::optional<TrainState>> load_state(const std::string& folder, const std::string& fingerprint,
                                             std::size_t parameters) {
  const std::string path = path_of(folder);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::optional<TrainState>();
  Result<std::string> bytes = read_file(path, std::size_t{16} << 30);
  if (!bytes) return tl::unexpected(bytes.error());
  const auto damaged = [&path] {
    return bad_input("damaged training state", "remove it to train from the start", path);
  };
  std::string_view rest = *bytes;
  if (rest.size() < kDigestSize) return damaged();
  const std::string_view digest = rest.substr(rest.size() - kDigestSize);
  rest.remove_suffix(kDigestSize);
  if (sha256(rest) != digest) return damaged();
  const std::size_t line = rest.find('\n');
  if (line == std::string_view::npos) return damaged();
  const nlohmann::json head = nlohmann::json::parse(rest.substr(0, line), nullptr, false);
  rest.remove_prefix(line + 1);
  if (!head.is_object() || head.value("format", "") != kFormat || !head.value("run", nlohmann::json()).is_object()) return damaged();
  const nlohmann::json run = nlohmann::json::parse(fingerprint);
  if (head["run"] != run) {
    return bad_input("the training state is of another run: " + differences(head["run"], run),
                     "go back to that run's options and data, or remove the state", path);
  }
  TrainState state;
  state.fingerprint = fingerprint;
  const nlohmann::json kernels = head.value("kernels", nlohmann::json::array());  // states of before have none
  if (!kernels.is_array()) return damaged();
  for (const auto& name : kernels) {
    if (!name.is_string()) return damaged();
    state.kernels.push_back(name.get<std::string>());
  }
  state.optimizer.step = head.value("step", std::int64_t{0});
  state.position = {head.value("epoch", std::int64_t{0}), head.value("index", std::uint64_t{0})};
  state.summary.steps = head.value("steps", std::int64_t{0});
  state.summary.examples = head.value("seen", std::int64_t{0});
  state.summary.truncated = head.value("truncated", std::int64_t{0});
  state.summary.tokens = head.value("tokens", std::int64_t{0});
  state.summary.trained_tokens = head.value("trained_tokens", std::int64_t{0});
  state.summary.seconds = head.value("seconds", 0.0);
  state.used = head.value("used", std::int64_t{0});
  state.good_step = head.value("good_step", std::int64_t{0});
  state.summary.halted = head.value("halted", "");
  state.summary.kept_step = head.value("kept_step", std::int64_t{0});
  if (!read_readings(head.value("readings", nlohmann::json()), state.readings)) return damaged();
  const std::size_t good = head.value("good", std::size_t{0});
  if (good != 0 && good != parameters) return damaged();
  const std::size_t losses = head.value("losses", std::size_t{0});
  if (head.value("parameters", std::size_t{0}) != parameters ||
      !take(rest, parameters, state.optimizer.master) || !take(rest, parameters, state.optimizer.mean) ||
      !take(rest, parameters, state.optimizer.square) || !take(rest, losses, state.losses) ||
      !take(rest, losses, state.weights) || !take(rest, good, state.good) || !rest.empty()) {
    return damaged();
  }
  return std::optional<TrainState>(std::move(state));
}

}  // namespace precept
