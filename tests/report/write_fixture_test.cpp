// With PRECEPT_REPORT_OUT=FILE, writes the made-up report there to be looked at.
#include <cstdlib>

#include <gtest/gtest.h>

#include "fixture.h"

namespace precept {
namespace {

TEST(Fixture, IsWrittenToBeLookedAt) {
  const char* path = std::getenv("PRECEPT_REPORT_OUT");
  if (!path) GTEST_SKIP() << "PRECEPT_REPORT_OUT is not set";
  const auto status = write_report(test::fake_report(), path);
  EXPECT_TRUE(status) << (status ? "" : status.error().message());
}

}  // namespace
}  // namespace precept
