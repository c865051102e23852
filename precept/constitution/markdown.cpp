// Constitutions in prose. The rules by which headings, paragraphs and lists become principles are in
// docs/formats.md; this file follows them in order: read blocks, form sections, make principles.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <cmark-gfm.h>

#include "precept/constitution/json_line.h"
#include "precept/constitution/markdown_guard.h"
#include "precept/constitution/parse.h"
#include "precept/constitution/suggest.h"
#include "precept/core/digest.h"
#include "precept/core/io.h"

namespace precept {
namespace {

struct NodeFree {
  void operator()(cmark_node* node) const { cmark_node_free(node); }
};
struct IterFree {
  void operator()(cmark_iter* iter) const { cmark_iter_free(iter); }
};
using Tree = std::unique_ptr<cmark_node, NodeFree>;
using Iter = std::unique_ptr<cmark_iter, IterFree>;

// A paragraph, or what one list item says.
struct Piece {
  std::string text;
  std::string lead;  // bold words at the beginning of a list item
  int line = 0;
  bool item = false;  // below a list item
};

struct Block {
  std::vector<Piece> pieces;
  std::vector<std::vector<Piece>> items;  // of a list
  bool list = false;
};

struct Section {
  int level = 0;  // 0: before the first heading
  std::string title;
  int line = 1;
  std::vector<Block> blocks;
};

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool starts_with(std::string_view text, std::string_view with) { return text.substr(0, with.size()) == with; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// Does the text begin / end with a character of a script written without spaces? All of CJK, its
// punctuation and full-width forms lie at U+2E80..U+9FFF and U+F900..U+FFEF (leads E2 BA to E9, EF A4 up).
bool cjk_at(std::string_view c) {
  if (c.size() < 3) return false;
  const auto a = static_cast<unsigned char>(c[0]), b = static_cast<unsigned char>(c[1]);
  return (a == 0xE2 && b >= 0xBA) || (a >= 0xE3 && a <= 0xE9) || (a == 0xEF && b >= 0xA4);
}

bool ends_in_cjk(std::string_view text) { return text.size() >= 3 && cjk_at(text.substr(text.size() - 3)); }

// Joins as a line break inside a paragraph does: with a space, but none between CJK characters.
void join(std::string& out, std::string_view next) {
  if (!out.empty() && !is_space(out.back()) && !(ends_in_cjk(out) && cjk_at(next))) out += ' ';
  out += next;
}

// The visible text of a heading or paragraph; `lead` gets the bold words it begins with.
std::string text_of(cmark_node* block, std::string* lead = nullptr) {
  std::string out;
  int strong = 0;
  bool broke = false;
  const Iter iter(cmark_iter_new(block));
  for (cmark_event_type event = cmark_iter_next(iter.get()); event != CMARK_EVENT_DONE;
       event = cmark_iter_next(iter.get())) {
    cmark_node* node = cmark_iter_get_node(iter.get());
    const cmark_node_type type = cmark_node_get_type(node);
    if (type == CMARK_NODE_STRONG) {
      if (event == CMARK_EVENT_ENTER) ++strong;
      else if (--strong == 0 && lead != nullptr && lead->empty()) *lead = std::string(trimmed(out));
      continue;
    }
    if (event != CMARK_EVENT_ENTER) continue;
    if (type == CMARK_NODE_SOFTBREAK || type == CMARK_NODE_LINEBREAK) broke = true;
    if (type != CMARK_NODE_TEXT && type != CMARK_NODE_CODE) continue;
    const char* literal = cmark_node_get_literal(node);
    if (literal == nullptr || *literal == '\0') continue;
    if (strong == 0 && lead != nullptr && lead->empty()) lead = nullptr;  // plain words come first
    if (broke) join(out, literal);
    else out += literal;
    broke = false;
  }
  return std::string(trimmed(out));
}

// All paragraphs of a block in order, whatever they are nested in.
std::vector<Piece> pieces_of(cmark_node* block) {
  std::vector<Piece> pieces;
  int items = 0;
  const Iter iter(cmark_iter_new(block));
  for (cmark_event_type event = cmark_iter_next(iter.get()); event != CMARK_EVENT_DONE;
       event = cmark_iter_next(iter.get())) {
    cmark_node* node = cmark_iter_get_node(iter.get());
    const cmark_node_type type = cmark_node_get_type(node);
    if (type == CMARK_NODE_ITEM && node != block) items += event == CMARK_EVENT_ENTER ? 1 : -1;
    if (event != CMARK_EVENT_ENTER || (type != CMARK_NODE_PARAGRAPH && type != CMARK_NODE_HEADING)) continue;
    Piece piece;
    piece.text = text_of(node, &piece.lead);
    piece.line = cmark_node_get_start_line(node);
    piece.item = items > 0;
    if (!piece.text.empty()) pieces.push_back(std::move(piece));
  }
  return pieces;
}

std::vector<Section> sections_of(cmark_node* root, int offset, Parsed& parsed) {
  std::vector<Section> sections(1);
  for (cmark_node* node = cmark_node_first_child(root); node != nullptr; node = cmark_node_next(node)) {
    const cmark_node_type type = cmark_node_get_type(node);
    const int line = cmark_node_get_start_line(node) + offset;
    if (type == CMARK_NODE_HEADING) {
      Section section;
      section.level = cmark_node_get_heading_level(node);
      section.title = text_of(node);
      section.line = line;
      sections.push_back(std::move(section));
      continue;
    }
    Block block;
    if (type == CMARK_NODE_LIST) {
      block.list = true;
      for (cmark_node* item = cmark_node_first_child(node); item != nullptr; item = cmark_node_next(item)) {
        std::vector<Piece> pieces = pieces_of(item);
        for (Piece& piece : pieces) piece.line += offset;
        if (!pieces.empty()) block.items.push_back(std::move(pieces));
      }
    } else if (type == CMARK_NODE_PARAGRAPH || type == CMARK_NODE_BLOCK_QUOTE) {
      block.pieces = pieces_of(node);
    } else if (type == CMARK_NODE_CODE_BLOCK) {
      parsed.warn(line, "a code block is not part of any principle", "write it as a paragraph, or ignore this");
    }
    if (!block.pieces.empty() || !block.items.empty()) sections.back().blocks.push_back(std::move(block));
  }
  return sections;
}

bool says_hard(std::string_view title) {
  std::string lower(title);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (const char* mark : {"hard constraint", "硬性约束", "底线"}) {
    if (lower.find(mark) != std::string::npos) return true;
  }
  return false;
}

std::string id_for(const std::string& title) {
  std::string id = kebab_case(title);
  const bool letters = std::any_of(id.begin(), id.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  if (!letters) return "p-" + sha256(title).substr(0, 8);
  if (id.size() > 60) {
    id.resize(std::min<std::size_t>(60, id.rfind('-', 60) == std::string::npos ? 60 : id.rfind('-', 60)));
  }
  return id;
}

// The first six words, for items that have no title of their own.
std::string first_words(const std::string& text) {
  std::size_t end = 0;
  for (int words = 0; end < text.size() && words < 6; ++end) words += text[end] == ' ' ? 1 : 0;
  return std::any_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end),
                     [](char c) { return static_cast<unsigned char>(c) >= 0x80; })
             ? text
             : text.substr(0, end);
}

// Takes a label such as "Source:" off the front of a paragraph.
bool take_label(std::string_view& text, std::initializer_list<std::string_view> labels) {
  for (const std::string_view label : labels) {
    for (const std::string_view colon : {":", "："}) {
      if (!starts_with(text, label) || !starts_with(text.substr(label.size()), colon)) continue;
      text = trimmed(text.substr(label.size() + colon.size()));
      return true;
    }
  }
  return false;
}

bool ends_in_colon(std::string_view text) {
  return (!text.empty() && text.back() == ':') || (text.size() >= 3 && text.substr(text.size() - 3) == "：");
}

// First paragraph: text. Later ones: why. List items go on with the text when that ends in a colon.
void fill(Principle& p, const std::vector<Piece>& pieces) {
  bool listing = false, listed = false;
  for (const Piece& piece : pieces) {
    std::string_view text = piece.text;
    if (!p.text.empty() && take_label(text, {"Source", "Sources", "来源", "出处"})) {
      p.source.name = text;
    } else if (!p.text.empty() && take_label(text, {"Applies to", "适用于", "适用范围"})) {
      p.applies_to = text;
    } else if (p.text.empty()) {
      p.text = text;
      listing = ends_in_colon(text);
    } else if (listing && piece.item) {
      if (listed) p.text += ends_in_cjk(p.text) ? "；" : ";";
      join(p.text, text);
      listed = true;
    } else {
      listing = false;
      take_label(text, {"Why", "Reason", "理由", "原因", "为什么"});
      join(p.why, text);
    }
  }
}

std::string detect_language(std::string_view text) {
  std::size_t han = 0, letters = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0xE4 && c <= 0xE9) ++han;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) ++letters;
  }
  return han * 4 > letters && han > 0 ? "zh" : "";
}

// Turns sections into principles.
class Compiler {
 public:
  Compiler(Parsed& parsed, std::vector<Section> sections)
      : parsed_(parsed), out_(parsed.constitution), sections_(std::move(sections)) {}

  void run() {
    find_title();
    for (std::size_t i = 0; i < sections_.size(); ++i) compile(i);
    order_tiers();
    if (out_.principles.empty() && preamble_line_ > 0) {
      parsed_.warn(preamble_line_, "only a preamble: paragraphs before the first section are not principles",
                   "give each rule a heading of its own");
    }
  }

 private:
  void find_title() {
    if (sections_.size() > 1 && sections_[1].level == 1) {
      title_ = 1;
      out_.name = sections_[1].title;
    }
    if (out_.name.empty()) {
      parsed_.warn(1, "the constitution has no title", "begin with a line such as \"# Our constitution\"");
    }
  }

  bool has_children(std::size_t i) const {
    return i + 1 < sections_.size() && sections_[i + 1].level > sections_[i].level;
  }

  static bool begins_with_list(const Section& s) {
    return !s.blocks.empty() && s.blocks[0].list && s.blocks[0].items.size() > 1;
  }

  void compile(std::size_t i) {
    const Section& s = sections_[i];
    if (i <= title_) {  // what stands before the first section
      compile_preamble(s);
      return;
    }
    while (!open_.empty() && open_.back().level >= s.level) open_.pop_back();
    const bool hard = (!open_.empty() && open_.back().hard) || says_hard(s.title);
    std::string tier = open_.empty() ? std::string() : open_.back().tier;
    const bool only_children = s.blocks.empty() && has_children(i);
    if (tier.empty() && (only_children || begins_with_list(s))) tier = new_tier(s.title, hard);
    open_.push_back({s.level, hard, tier});
    if (begins_with_list(s)) {
      for (const Block& block : s.blocks) compile_block_of_items(block, tier, hard);
    } else if (!s.blocks.empty()) {
      compile_section(s, tier, hard);
    } else if (!only_children) {
      parsed_.warn(s.line, "heading " + in_quotes(s.title) + " has nothing below it", "write the rule as a paragraph");
    }
  }

  void compile_preamble(const Section& s) {
    for (const Block& block : s.blocks) {
      if (block.list && block.items.size() > 1) compile_block_of_items(block, "", false);
      else if (preamble_line_ == 0) preamble_line_ = first_line(block);
    }
  }

  static int first_line(const Block& block) {
    if (!block.pieces.empty()) return block.pieces[0].line;
    return block.items.empty() ? 1 : block.items[0][0].line;
  }

  // A list gives one principle an item; a paragraph between such lists is the reason of the item before it.
  void compile_block_of_items(const Block& block, const std::string& tier, bool hard) {
    for (const std::vector<Piece>& pieces : block.items) {
      Principle p;
      p.line = pieces[0].line;
      p.priority = tier;
      p.hard = hard;
      fill(p, pieces);
      p.id = fresh_id(id_for(pieces[0].lead.empty() ? first_words(pieces[0].text) : pieces[0].lead));
      out_.principles.push_back(std::move(p));
    }
    if (!block.list && !out_.principles.empty()) {
      for (const Piece& piece : block.pieces) join(out_.principles.back().why, piece.text);
    }
  }

  void compile_section(const Section& s, const std::string& tier, bool hard) {
    std::vector<Piece> pieces;
    for (const Block& block : s.blocks) {
      pieces.insert(pieces.end(), block.pieces.begin(), block.pieces.end());
      for (const std::vector<Piece>& item : block.items) {
        for (Piece piece : item) {
          piece.item = true;
          pieces.push_back(std::move(piece));
        }
      }
    }
    Principle p;
    p.id = id_for(s.title);
    p.line = s.line;
    p.priority = tier;
    p.hard = hard;
    ids_.insert(p.id);
    fill(p, pieces);
    out_.principles.push_back(std::move(p));
  }

  std::string fresh_id(const std::string& base) {
    std::string id = base;
    while (!ids_.insert(id).second) id = base + "-" + std::to_string(++copies_[base] + 1);
    return id;
  }

  // Two headings of the same words are the same tier.
  std::string new_tier(const std::string& title, bool hard) {
    std::string name = title.empty() ? "tier " + std::to_string(tiers_.size() + 1) : title;
    for (const auto& tier : tiers_) {
      if (tier.first == name) return name;
    }
    if (tiers_.size() < 1000) tiers_.emplace_back(name, hard);
    return tiers_.back().first;
  }

  // Hard tiers first, the others in the order of the text; principles outside of any come last.
  void order_tiers() {
    std::stable_partition(tiers_.begin(), tiers_.end(), [](const auto& tier) { return tier.second; });
    for (const auto& tier : tiers_) {
      const auto& all = out_.principles;
      const bool used = std::any_of(all.begin(), all.end(), [&](const Principle& p) { return p.priority == tier.first; });
      if (used) out_.priorities.push_back(tier.first);
    }
    if (out_.priorities.empty()) return;
    const std::string rest = out_.language == "zh" ? "其他" : "Other";
    bool any = false;
    for (Principle& p : out_.principles) {
      if (!p.priority.empty()) continue;
      p.priority = rest;
      any = true;
    }
    if (any && std::find(out_.priorities.begin(), out_.priorities.end(), rest) == out_.priorities.end()) {
      out_.priorities.push_back(rest);
    }
  }

  struct Open {
    int level = 0;
    bool hard = false;
    std::string tier;
  };

  Parsed& parsed_;
  Constitution& out_;
  std::vector<Section> sections_;
  std::size_t title_ = 0;
  int preamble_line_ = 0;
  std::vector<Open> open_;
  std::vector<std::pair<std::string, bool>> tiers_;  // name, hard
  std::set<std::string> ids_;
  std::map<std::string, int> copies_;
};

}  // namespace

Parsed parse_markdown(std::string_view text, const std::string& file) {
  Parsed parsed;
  parsed.constitution.file = file;
  parsed.prose = true;
  const int offset = skip_front_matter(text);
  if (const auto problem = find_unbounded(text)) {
    parsed.error(problem->line + offset, problem->what, problem->hint);
    return parsed;
  }
  const Tree root(cmark_parse_document(text.data(), text.size(), CMARK_OPT_DEFAULT));
  PRECEPT_CHECK(root != nullptr);
  parsed.constitution.language = detect_language(text);
  Compiler(parsed, sections_of(root.get(), offset, parsed)).run();
  parsed.whole = true;
  return parsed;
}

}  // namespace precept
