// Text to read: traces with their changes marked, the constitution, the recipe, what all this can show.
#include <algorithm>

#include <fmt/format.h>

#include "precept/core/io.h"
#include "precept/report/diff.h"
#include "precept/report/html.h"
#include "precept/report/sections.h"

namespace precept::section {
namespace {

using html::bounded;
using html::escape;

std::string probability(const std::optional<double>& p) {
  return p ? fmt::format("<span class=\"prob\">{:.2f}</span>", *p) : std::string();
}

std::string changes(const std::string& draft, const std::string& final_answer) {
  const std::string_view before = utf8_prefix(draft, kAnswerBytes), after = utf8_prefix(final_answer, kAnswerBytes);
  std::string out = "<p class=\"text diff\" dir=\"auto\">";
  const std::vector<DiffPart> parts = word_diff(before, after);
  // One text in place of another reads better on lines of their own.
  const bool replaced = parts.size() == 2 && parts[0].kind == DiffPart::Kind::kRemoved && parts[1].kind == DiffPart::Kind::kAdded;
  for (const DiffPart& part : parts) {
    switch (part.kind) {
      case DiffPart::Kind::kSame: out += escape(part.text); break;
      case DiffPart::Kind::kRemoved: out += "<del>" + escape(part.text) + (replaced ? "</del>\n" : "</del>"); break;
      case DiffPart::Kind::kAdded: out += "<ins>" + escape(part.text) + "</ins>"; break;
    }
  }
  if (draft.size() > kAnswerBytes || final_answer.size() > kAnswerBytes) {
    out += fmt::format("<span class=\"cut\">\u2026 cut here; draft {} bytes, final {} bytes</span>",
                       html::count(static_cast<std::int64_t>(draft.size())),
                       html::count(static_cast<std::int64_t>(final_answer.size())));
  }
  return out + "</p>\n";
}

const char* verdict_css(const std::string& verdict) {
  if (verdict == "complies") return "good";
  if (verdict == "violates") return "bad";
  return "odd";
}

std::string step(const ReportStep& s) {
  const std::string principle =
      s.principle.empty() ? std::string() : "<code>" + bounded(s.principle, kIdBytes) + "</code> ";
  if (s.kind == "judgment") {
    return fmt::format("<li class=\"judgment\">{}<span class=\"chip {}\">{}</span>{}</li>\n", principle,
                       verdict_css(s.verdict), bounded(s.verdict.empty() ? "unparseable" : s.verdict, 40),
                       probability(s.probability));
  }
  return fmt::format("<li class=\"{}\"><span class=\"kind\">{}</span> {}{}</li>\n",
                     s.kind == "critique" ? "critique" : "revision", bounded(s.kind, 40), principle,
                     html::paragraph(s.text, kShortBytes));
}

std::string steps(const std::vector<ReportStep>& all) {
  std::string out;
  int round = -1;
  std::size_t shown = 0;
  for (const ReportStep& s : all) {
    if (++shown > kMostSteps) {
      out += fmt::format("<li class=\"none\">\u2026 and {} more steps</li>", all.size() - kMostSteps);
      break;
    }
    if (s.round != round) {
      round = s.round;
      out += fmt::format("<li class=\"round\">{}</li>\n",
                         round == 0 ? std::string("the draft is judged") : fmt::format("round {}", round));
    }
    out += step(s);
  }
  return out.empty() ? out : "<ol class=\"steps\">" + out + "</ol>\n";
}

std::string selections(const std::vector<ReportSelection>& all) {
  std::string chosen;
  std::size_t rest = 0, shown = 0;
  for (const ReportSelection& s : all) {
    if (!s.selected || ++shown > 40) {
      ++rest;
      continue;
    }
    chosen += fmt::format("<span class=\"chip\">{}{}</span>", bounded(s.principle, kIdBytes), probability(s.probability));
  }
  if (all.empty()) return {};
  return fmt::format("<p class=\"chips\"><span class=\"label\">applies</span>{}<span class=\"n\">{} others do not</span></p>\n",
                     chosen.empty() ? "<span class=\"none\">no principle</span> " : chosen, rest);
}

std::string first_words(const Conversation& prompt) {
  for (auto it = prompt.rbegin(); it != prompt.rend(); ++it) {
    if (it->role != "user") continue;
    std::string text(utf8_prefix(it->content, 140));
    std::replace(text.begin(), text.end(), '\n', ' ');
    return escape(text) + (text.size() < it->content.size() ? "\u2026" : "");
  }
  return "(no user turn)";
}

struct Badge {
  const char *css, *text;
};

Badge badge(Ending ending) {
  switch (ending) {
    case Ending::kComplied: return {"good", "kept"};
    case Ending::kRevised: return {"changed", "revised"};
    case Ending::kUnsettled: return {"bad", "still violating"};
    case Ending::kUnparseable: return {"odd", "verdict unreadable"};
    case Ending::kPending: case Ending::kFailed: break;
  }
  return {"odd", "not finished"};
}

std::string trace(const ReportTrace& t, bool open) {
  const bool changed = t.draft != t.final_answer;
  const Badge mark = badge(t.ending);
  std::string out = fmt::format("<details class=\"trace\"{}><summary><span class=\"q\" dir=\"auto\">{}</span>"
                                "<span class=\"chip {}\">{}</span></summary>\n<div class=\"inside\">\n",
                                open ? " open" : "", first_words(t.prompt), mark.css, mark.text);
  out += "<div class=\"turns\">";
  std::size_t turns = 0;
  for (const Message& m : t.prompt) {
    if (++turns > 20) break;
    out += fmt::format("<div class=\"turn\"><span class=\"label\">{}</span>{}</div>", bounded(m.role, 40),
                       html::paragraph(m.content, kShortBytes));
  }
  out += "</div>\n" + selections(t.selections);
  if (changed) {
    out += "<div class=\"pair\"><div><span class=\"label\">from draft to final</span>" + changes(t.draft, t.final_answer) +
           "</div></div>\n";
  } else {
    out += fmt::format("<div class=\"pair\"><div><span class=\"label\">{}</span>{}</div></div>\n",
                       t.ending == Ending::kComplied ? "draft, kept unchanged" : "draft and final, word for word the same",
                       html::paragraph(t.draft, kAnswerBytes));
  }
  out += steps(t.steps);
  return out + fmt::format("<p class=\"fine\">item <code>{}</code></p></div></details>\n", bounded(t.id, kIdBytes));
}

bool is_web_link(const std::string& url) {
  return url.rfind("https://", 0) == 0 || url.rfind("http://", 0) == 0;
}

}  // namespace

std::string traces(const ReportInput& input) {
  if (input.traces.empty()) return {};
  std::string out = std::string(
      "<section id=\"traces\"><h2>Read for yourself</h2>\n<p class=\"lead\">Items as they went through the loop. "
      "<del>Struck out</del> was in the draft, <ins>underlined</ins> came with the revision. Numbers are the judge's "
      "probabilities. ") + html::escape(utf8_prefix(input.traces_note, kShortBytes)) + "</p>\n";
  const std::size_t n = std::min(input.traces.size(), kMostTraces);
  for (std::size_t i = 0; i < n; ++i) out += trace(input.traces[i], i == 0);
  return out + "</section>\n";
}

std::string constitution(const ReportInput& input) {
  if (!input.constitution) return {};
  const Constitution& c = *input.constitution;
  std::string out = fmt::format("<section id=\"constitution\"><h2>The constitution</h2>\n<p class=\"lead\">{}{} \u00b7 {} "
                                "principles{}</p>\n",
                                bounded(c.name.empty() ? "(without a name)" : c.name, kIdBytes),
                                c.version.empty() ? "" : " " + bounded(c.version, kIdBytes), c.principles.size(),
                                c.digest.empty() ? "" : " \u00b7 <code>" + bounded(c.digest.substr(0, 16), kIdBytes) + "</code>");
  out += "<div class=\"articles\">\n";
  std::size_t shown = 0;
  for (const Principle& p : c.principles) {
    if (++shown > kMostPrinciples) break;
    std::string badges;
    if (p.hard) badges += "<span class=\"chip hard\">hard constraint</span>";
    if (!p.priority.empty()) badges += "<span class=\"chip\">" + bounded(p.priority, kIdBytes) + "</span>";
    out += fmt::format("<article class=\"principle\"><h3><code>{}</code>{}</h3>", bounded(p.id, kIdBytes), badges);
    out += html::paragraph(p.text, kShortBytes, "text rule");
    if (!p.why.empty()) out += html::paragraph(p.why, kShortBytes, "text why");
    if (!p.source.name.empty()) {
      std::string name = bounded(p.source.name, 300);
      if (!p.source.article.empty()) name += ", " + bounded(p.source.article, kIdBytes);
      if (is_web_link(p.source.url)) {
        name = fmt::format("<a href=\"{}\" rel=\"noreferrer noopener\">{}</a>", escape(p.source.url.substr(0, 2000)), name);
      }
      out += "<p class=\"source\">" + name + "</p>";
    }
    out += "</article>\n";
  }
  return out + "</div></section>\n";
}

std::string recipe(const ReportInput& input) {
  if (input.recipe.empty()) return {};
  return "<section id=\"recipe\"><h2>The resolved recipe</h2>\n<p class=\"lead\">Everything that decided this run, "
         "defaults included.</p>\n<pre tabindex=\"0\">" +
         bounded(input.recipe, kRecipeBytes) + "</pre></section>\n";
}

std::string scope(const ReportInput& input) {
  if (input.scope.empty() && input.notes.empty()) return {};
  std::string out = "<section id=\"scope\"><aside class=\"scope\"><h2>How far this goes</h2>\n";
  if (!input.scope.empty()) out += html::paragraph(input.scope, 4000);
  if (!input.notes.empty()) {
    out += "<ul>";
    std::size_t shown = 0;
    for (const std::string& note : input.notes) {
      if (++shown > 40) break;
      out += "<li>" + bounded(note, kShortBytes) + "</li>";
    }
    out += "</ul>\n";
  }
  return out + "</aside></section>\n";
}

}  // namespace precept::section
