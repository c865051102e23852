#include "cli/usage.h"

#include <string>
#include <vector>

#include "precept/constitution/suggest.h"

namespace precept {
namespace {

const CLI::App* chosen(const CLI::App& app) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  return at;
}

// "precept generate"
std::string full_name(const CLI::App* app) {
  std::string name = app->get_name();
  for (const CLI::App* up = app->get_parent(); up != nullptr; up = up->get_parent()) name = up->get_name() + " " + name;
  return name;
}

std::vector<std::string> command_names(const CLI::App* app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app->get_subcommands([](const CLI::App*) { return true; })) names.push_back(sub->get_name());
  return names;
}

// Flags of a command and of all above it.
std::vector<std::string> flag_names(const CLI::App* app) {
  std::vector<std::string> names;
  for (; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

std::string see_help(const CLI::App* app) { return "see " + full_name(app) + " --help"; }

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known, const CLI::App* app) {
  const std::string best = nearest(word, known);
  return best.empty() ? see_help(app) : "did you mean " + best + "?";
}

std::string one_of(const CLI::App* app) {
  std::string list;
  for (const std::string& name : command_names(app)) list += (list.empty() ? "" : ", ") + name;
  return "one of: " + list + "; " + see_help(app);
}

Error unexpected_word(const CLI::App* app, const std::string& word) {
  if (word.size() > 1 && word[0] == '-') {
    const std::string flag = word.substr(0, word.find('='));
    return bad_input("unknown flag " + in_quotes(flag) + " of " + full_name(app), did_you_mean(flag, flag_names(app), app))
        .value();
  }
  const std::vector<std::string> commands = command_names(app);
  if (!commands.empty()) {
    const std::string best = nearest(word, commands);
    return bad_input("unknown command " + in_quotes(word), best.empty() ? one_of(app) : "did you mean " + best + "?").value();
  }
  return bad_input("unexpected argument " + in_quotes(word), see_help(app)).value();
}

}  // namespace

Error usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* at = chosen(app);
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::vector<std::string> words = app.remaining(true);
    // A misspelt command makes everything after it unknown; else a flag is the likelier slip than the value after it.
    if (!words.empty() && !words.front().empty() && words.front()[0] != '-' && !command_names(at).empty()) {
      return unexpected_word(at, words.front());
    }
    for (const std::string& word : words) {
      if (!word.empty() && word[0] == '-') return unexpected_word(at, word);
    }
    if (!words.empty()) return unexpected_word(at, words.front());
  }
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && !command_names(at).empty()) {
    const std::vector<std::string> words = app.remaining(true);
    return words.empty() ? missing_command(*at) : unexpected_word(at, words.front());
  }
  return bad_input(error.what(), see_help(at)).value();
}

Error missing_command(const CLI::App& app) {
  return bad_input(full_name(&app) + " needs a command", one_of(&app)).value();
}

}  // namespace precept
