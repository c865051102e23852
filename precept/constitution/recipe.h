#pragma once
// Recipes: one TOML file is a whole run. Each command reads the table of its name; keys above all tables hold for every
// command that has them. docs/formats.md tells the format. (They are read here because the TOML parser lives here.)

#include <map>
#include <set>
#include <string>
#include <vector>

#include "precept/core/fields.h"
#include "precept/core/result.h"

namespace precept {

// One command's part of a recipe: the table [name], and the options that its keys set.
struct RecipeSection {
  std::string name;
  std::vector<Field> fields;
};

// Sets the fields of the section `own` from a recipe, but for those named in `given`, which a flag has set already.
// The whole file is checked, also the tables of the other `sections`: unknown tables and keys, values of the wrong type,
// values that a field's rule refuses. The Error is the first of the file, with its line; on an Error nothing is set.
// A recipe without a word for `own` is refused, too.
Status read_recipe(const std::string& path, const std::vector<RecipeSection>& sections, const std::string& own,
                   const std::set<std::string>& given = {});

// Sets the fields of all sections, from a file that says nothing else: tables and keys as in read_recipe, and nothing above the
// tables. Gives the tables that are there, each with its line. On an Error nothing is set.
Result<std::map<std::string, int>> read_sections(const std::string& path, const std::vector<RecipeSection>& sections);

// A recipe of one section that read_recipe takes; `comment` (lines without "#") stands above it.
std::string recipe_text(const RecipeSection& section, const std::string& comment);

// What differs between two settings of the same options: "NAME = VALUE" of `was` and of `now`, in the order of the
// fields. Fields that belong in no recipe are passed over.
std::vector<std::string> recipe_changes(const std::vector<Field>& was, const std::vector<Field>& now);
// An error that names every one of them. `path`: of the recipe that the run began with.
Status same_recipe(const std::vector<Field>& was, const std::vector<Field>& now, const std::string& path);

}  // namespace precept
