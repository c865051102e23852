#include "precept/report/report.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "fixture.h"
#include "precept/core/io.h"
#include "precept/report/summary_json.h"
#include "precept/report/svg.h"

namespace precept {
namespace {

bool has(const std::string& page, const std::string& what) { return page.find(what) != std::string::npos; }

std::size_t occurrences(const std::string& page, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = page.find(what); at != std::string::npos; at = page.find(what, at + what.size())) ++n;
  return n;
}

// Every element that is opened is closed, in order.
void expect_balanced(const std::string& page) {
  static const std::vector<std::string> kEmpty = {"meta", "line", "circle", "rect", "path", "br", "!DOCTYPE"};
  std::vector<std::string> open;
  const std::size_t style_end = page.find("</style>");
  for (std::size_t i = 0; (i = page.find('<', i)) != std::string::npos; ++i) {
    const std::size_t end = page.find('>', i);
    ASSERT_NE(end, std::string::npos);
    std::size_t name_end = i + 1;
    while (name_end < end && page[name_end] != ' ' && page[name_end] != '/') ++name_end;
    if (page[i + 1] == '/') {
      const std::string name = page.substr(i + 2, end - i - 2);
      ASSERT_FALSE(open.empty()) << "unopened " << name << " at " << page.substr(i, 80);
      ASSERT_EQ(open.back(), name) << page.substr(i > 200 ? i - 200 : 0, 300);
      open.pop_back();
      continue;
    }
    const std::string name = page.substr(i + 1, name_end - i - 1);
    if (std::find(kEmpty.begin(), kEmpty.end(), name) != kEmpty.end()) continue;
    open.push_back(name);
    if (name == "style") i = style_end - 1;
  }
  EXPECT_TRUE(open.empty()) << open.back();
}

TEST(Report, ShowsEveryPart) {
  const std::string page = render_report(test::fake_report());
  for (const char* id : {"headline", "principles", "balance", "familiarity", "loop", "time", "judge", "traces", "training", "collapse",
                         "constitution", "recipe", "scope"}) {
    EXPECT_TRUE(has(page, std::string("id=\"") + id + "\"")) << id;
  }
  EXPECT_EQ(occurrences(page, "<details"), 10u);  // of twelve
  EXPECT_TRUE(has(page, "<del>"));
  EXPECT_TRUE(has(page, "Violations fell from"));
  EXPECT_FALSE(find_invalid_utf8(page));
  EXPECT_FALSE(has(page, "nan"));
  expect_balanced(page);
}

// The numbers come first, then what they rest on.
TEST(Report, GoesFromTheNumbersToWhatTheyRestOn) {
  const std::string page = render_report(test::fake_report());
  std::size_t last = 0;
  for (const char* id : {"headline", "scope", "principles", "balance", "loop", "judge", "traces", "training", "constitution", "recipe"}) {
    const std::size_t at = page.find(std::string("<section id=\"") + id + "\"");
    ASSERT_NE(at, std::string::npos) << id;
    EXPECT_GT(at, last) << id;
    last = at;
  }
}

TEST(Report, SaysWhatReinforcementAdded) {
  ReportInput input = test::fake_report();
  EXPECT_EQ(render_report(input).find("After reinforcement learning"), std::string::npos);
  input.rl = input.sl;
  std::string html = render_report(input);
  EXPECT_NE(html.find("id=\"reinforced\""), std::string::npos);
  EXPECT_NE(html.find("against fine-tuned"), std::string::npos);
  input.rl->prompts_digest = "other prompts";
  html = render_report(input);
  EXPECT_NE(html.find("id=\"reinforced\""), std::string::npos);
  EXPECT_EQ(html.find("against fine-tuned"), std::string::npos) << "no difference between answers to different prompts";
}

TEST(Report, SaysHowEachItemEnded) {
  ReportInput in = test::fake_report();
  in.traces.resize(2);
  for (ReportTrace& t : in.traces) t.final_answer = t.draft;
  in.traces[0].ending = Ending::kComplied;
  in.traces[1].ending = Ending::kUnsettled;  // revised back to its draft: not "kept"
  in.traces_note = "Chosen by <nobody>.";
  const std::string page = render_report(in);
  EXPECT_EQ(occurrences(page, "kept</span></summary>"), 1u);
  EXPECT_EQ(occurrences(page, "still violating</span></summary>"), 1u);
  EXPECT_EQ(occurrences(page, "draft, kept unchanged"), 1u);
  EXPECT_TRUE(has(page, "Chosen by &lt;nobody&gt;."));
}

TEST(Report, NamesTheAxesOfItsCharts) {
  const std::string page = render_report(test::fake_report());
  for (const char* name : {">nats per token</text>", ">learning rate</text>", ">step</text>", ">items</text>",
                           ">revisions until the item was done</text>", ">helpful</text>",
                           ">harmless: answers without a violation</text>", ">share that was true</text>"}) {
    EXPECT_TRUE(has(page, name)) << name;
  }
}

TEST(Report, AsksTheNetworkForNothing) {
  const std::string page = render_report(test::fake_report());
  for (const char* word : {"<script", "<link", "<img", "src=", "url(", "@import", "http://", "https://", "<iframe"}) {
    EXPECT_FALSE(has(page, word)) << word;
  }
  EXPECT_TRUE(has(page, "default-src 'none'"));
}

TEST(Report, IsTheSameBytesForTheSameInput) {
  EXPECT_EQ(render_report(test::fake_report()), render_report(test::fake_report()));
}

TEST(Report, SaysWhatIsMissingInsteadOfInventing) {
  const std::string nothing = render_report({});
  EXPECT_TRUE(has(nothing, "Nothing has been evaluated yet."));
  EXPECT_FALSE(has(nothing, "id=\"headline\""));
  expect_balanced(nothing);
  ReportInput one = test::fake_report();
  one.sl.reset();
  const std::string page = render_report(one);
  EXPECT_TRUE(has(page, "Only one model has been evaluated"));
  EXPECT_FALSE(has(page, "McNemar"));
  expect_balanced(page);
}

TEST(Report, WarnsOfTextThatTheModelDoesNotKnow) {
  ReportInput in = test::fake_report();
  EXPECT_FALSE(has(render_report(in), "<aside class=\"warning\">"));
  in.familiarity->text.bits_per_byte = 5.09;
  const std::string page = render_report(in);
  EXPECT_EQ(occurrences(page, "<aside class=\"warning\">"), 1u);
  EXPECT_TRUE(has(page, "Outside of the model"));
  EXPECT_TRUE(has(page, "5.09 bits for each byte"));
  expect_balanced(page);
  in.loop->judge = {100, 100, 0, 0};  // a judge that never said anything
  EXPECT_TRUE(has(render_report(in), "Verdicts that decide little"));
  in.familiarity.reset();
  in.loop.reset();
  EXPECT_FALSE(has(render_report(in), "id=\"familiarity\"")) << "nothing was measured";
}

TEST(Report, DoesNotClaimAChangeThatIsNoise) {
  ReportInput in = test::fake_report();
  in.sl = in.base;
  const std::string page = render_report(in);
  EXPECT_TRUE(has(page, "No measurable change in violations."));
  EXPECT_FALSE(has(page, "Violations fell"));
  EXPECT_TRUE(has(page, "cannot tell from chance (p = 1.00)"));
}

TEST(Report, UndefinedStaysUndefined) {
  ReportInput in;
  in.base = Evaluation{};
  in.base->prompts_digest = in.base->scorer = in.base->constitution_digest = "x";
  in.sl = in.base;
  summarise(*in.base, {"a"});
  summarise(*in.sl, {"a"});
  const std::string page = render_report(in);
  EXPECT_TRUE(has(page, "share no scored prompt"));
  EXPECT_TRUE(has(page, "no interval"));
  EXPECT_TRUE(has(page, "Without a single scored answer"));
  EXPECT_FALSE(has(page, "nan"));
  expect_balanced(page);
}

// Whatever text a model, a file or a name may hold, put everywhere at once.
TEST(Report, HostileTextStaysText) {
  for (const std::string& evil :
       {std::string("<script>alert(1)</script>"), std::string("</script></title></style><script>alert(1)</script>"),
        std::string(3000, 'x'), std::string(300, 'a') + "\xE2\x80\xAE" + std::string(300, 'b'), std::string(700, '\x80'), std::string("\"><img src=x onerror=alert(1)>"), std::string("'-->]]></style>"),
        std::string("\xE2\x80\xAEtxet\xFF\xC0\x80"), std::string(std::size_t{1} << 20, '<'), std::string("{}{0}%s%n"), std::string(1, '\0')}) {
    ReportInput in = test::fake_report();
    in.title = in.run = in.version = in.scope = in.recipe = in.traces_note = evil;
    in.notes = {evil};
    in.traces.resize(2);
    for (ReportTrace& t : in.traces) {
      t.id = t.draft = evil;
      t.final_answer = evil + "x";
      t.prompt = {{evil, evil}, {"user", evil}};
      t.selections = {{evil, 0.5, true}};
      t.steps = {{"judgment", 0, evil, evil, 0.5, evil}, {evil, 1, evil, "", {}, evil}, {"critique", 1, evil, "", {}, evil}};
    }
    for (Principle& p : in.constitution->principles) {
      p.text = p.why = p.priority = p.source.name = p.source.article = evil;
      p.source.url = "javascript:" + evil;
    }
    in.constitution->name = in.constitution->version = in.constitution->digest = evil;
    in.constitution->principles[0].id = evil;
    for (PrincipleRate& rate : in.base->per_principle) rate.id = evil.substr(0, 64) + rate.id;
    in.base->model = in.familiarity->model = evil;
    in.loop->steps[0].name = evil;
    in.curves[0].name = in.curves[0].stage = evil;
    const std::string page = render_report(in);
    EXPECT_FALSE(has(page, "<script"));
    EXPECT_FALSE(has(page, "<img"));
    EXPECT_FALSE(has(page, "javascript:"));
    EXPECT_FALSE(has(page, "\xE2\x80\xAE"));
    EXPECT_FALSE(has(page, std::string(1, '\0')));
    const std::size_t title = page.find("<title>") + 7;
    EXPECT_EQ(page.find('<', title), page.find("</title>")) << "no element is read inside of a title: tags would be shown";
    EXPECT_FALSE(find_invalid_utf8(page));
    EXPECT_LT(page.size(), std::size_t{4} << 20) << "1 MB texts are bounded";
    expect_balanced(page);
  }
}

TEST(Report, LinksOnlyToTheWeb) {
  ReportInput in = test::fake_report();
  in.constitution->principles[0].source.url = "https://example.org/a?b=1&c=\"2\"";
  EXPECT_TRUE(has(render_report(in), "href=\"https://example.org/a?b=1&amp;c=&quot;2&quot;\""));
  in.constitution->principles[0].source.url = "data:text/html,x";
  EXPECT_FALSE(has(render_report(in), "data:text"));
}

TEST(Report, IsWrittenWholeOrRefused) {
  const auto refused = write_report({}, "/no/such/folder/report.html");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kFailed);
}

TEST(Svg, TicksAreRoundAndCover) {
  EXPECT_EQ(svg::ticks(0, 1, 5), (std::vector<double>{0, 0.25, 0.5, 0.75, 1}));
  for (const auto& [low, high] : std::vector<std::pair<double, double>>{{0.13, 7.9}, {-3, 4}, {1e-6, 3e-4}, {100, 101}}) {
    const auto ticks = svg::ticks(low, high, 5);
    ASSERT_GE(ticks.size(), 2u);
    EXPECT_LE(ticks.front(), low + 1e-9);
    EXPECT_GE(ticks.back(), high - 1e-9);
    EXPECT_LE(ticks.size(), 8u);
  }
  EXPECT_EQ(svg::ticks(2, 2, 5).size(), 1u);
  EXPECT_TRUE(svg::ticks(0, std::numeric_limits<double>::infinity(), 5).empty());
}

TEST(Svg, ThinningKeepsTheMean) {
  std::vector<std::pair<double, double>> points;
  for (int i = 0; i < 1000; ++i) points.emplace_back(i, i % 2);
  const auto thin = svg::thin(points, 100);
  ASSERT_EQ(thin.size(), 100u);
  EXPECT_DOUBLE_EQ(thin[0].first, 4.5);
  EXPECT_DOUBLE_EQ(thin[0].second, 0.5);
  EXPECT_EQ(svg::thin(points, 5000).size(), 1000u);
}

TEST(Svg, CurvesSurviveOddValues) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const auto& points : std::vector<std::vector<std::pair<double, double>>>{
           {}, {{1, 1}}, {{1, 2}, {1, 2}}, {{0, inf}, {1, std::nan("")}}, {{0, 0}, {1, 0}}, {{0, -1e300}, {1, 1e300}}}) {
    const std::string chart = svg::curve(points, "loss", "nats");
    EXPECT_FALSE(has(chart, "nan"));
    EXPECT_FALSE(has(chart, "inf\"") || has(chart, " inf"));
    expect_balanced(chart);
  }
}

TEST(Svg, SmallNumbersFitBesideTheirAxis) {
  const std::string chart = svg::curve({{0, 1e-4}, {10, 1e-3}}, "lr", "");
  EXPECT_TRUE(has(chart, ">2.5e\u22124</text>")) << chart;
  EXPECT_FALSE(has(chart, "0.00025"));
}

TEST(Svg, TracksPutMarksWhereTheyBelong) {
  const std::string track = svg::track({{proportion(25, 100), "before"}, {Estimate{}, "after"}}, "label");
  EXPECT_TRUE(has(track, "cx=\"25.00%\""));
  EXPECT_EQ(occurrences(track, "<circle"), 1u);
}

TEST(Summary, HasTheKeysThatItPromises) {
  const ReportInput in = test::fake_report();
  SummaryInput summary;
  summary.base = &*in.base;
  summary.sl = &*in.sl;
  summary.judge = &*in.judge;
  summary.loop = &*in.loop;
  summary.familiarity = &*in.familiarity;
  summary.stages = {{"loop", 10}, {"train", 2.5}};
  summary.seconds = 12.5;
  summary.peak_rss_mb = 321;
  const auto json = nlohmann::json::parse(summary_json(summary));
  for (const char* key : {"violation_rate", "helpfulness", "over_refusal"}) {
    for (const char* side : {"base", "sl"}) {
      for (const char* field : {"value", "low", "high", "n", "unscored"}) EXPECT_TRUE(json[key][side].contains(field)) << key;
    }
    EXPECT_TRUE(json[key]["p"].is_number());
  }
  EXPECT_EQ(json["violation_rate"]["base"]["value"].get<double>(), *in.base->violation_rate.value);
  EXPECT_EQ(json["per_principle"].size(), in.base->per_principle.size());
  EXPECT_DOUBLE_EQ(json["calls_per_item"].get<double>(), 9909.0 / 2000);
  EXPECT_EQ(json["tokens"]["output"].get<std::int64_t>(), 2 * 40321 + 66210 + 31012 + 41377);
  EXPECT_EQ(json["seconds"].get<double>(), 12.5);
  EXPECT_EQ(json["stages"].dump(), R"({"loop":10.0,"train":2.5})");
  EXPECT_EQ(json["peak_rss_mb"].get<double>(), 321);
  EXPECT_TRUE(json["collapse"]["sl"]["distinct_1"].is_number());
  EXPECT_DOUBLE_EQ(json["loop"]["verdicts"]["judge"]["unparseable_share"].get<double>(), 14.0 / 7410);
  EXPECT_DOUBLE_EQ(json["loop"]["verdicts"]["judge"]["uncertain_share"].get<double>(), 402.0 / 7396);
  EXPECT_EQ(json["familiarity"]["far_outside"].get<bool>(), false);
}

TEST(Summary, AbsentPartsAreNull) {
  const auto json = nlohmann::json::parse(summary_json({}));
  EXPECT_TRUE(json["violation_rate"]["base"].is_null());
  EXPECT_TRUE(json["calls_per_item"].is_null());
  for (const char* key : {"judge", "loop", "familiarity", "seconds", "peak_rss_mb"}) EXPECT_TRUE(json[key].is_null()) << key;
  EXPECT_GT(peak_rss_mb(), 1);
}

}  // namespace
}  // namespace precept
