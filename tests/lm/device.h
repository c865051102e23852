#pragma once
// The device that whole runs of the trainers are tested on: the processor, or another that the environment names.

#include <cstdlib>
#include <string>

namespace precept {

inline std::string test_device() {
  const char* device = std::getenv("PRECEPT_TEST_DEVICE");
  return device ? device : "cpu";
}

}  // namespace precept
