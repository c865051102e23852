#pragma once
// Where the files that come with Precept lie: constitutions/, models/pocket...

#include <string>

namespace precept {

// The path of a file or folder that ships with Precept, found from the running binary: in the source tree of a
// build, beside an installed binary (../share/precept), else relative to the current folder.
std::string data_path(const std::string& relative);

// The folder of the running binary.
std::string binary_folder();

}  // namespace precept
