#include "precept/model/model.h"

namespace precept {

std::optional<Error> Patience::over(std::chrono::steady_clock::time_point now) const {
  if (cancelled && cancelled()) return Error{"the request was cancelled", "", "", 0, ErrorKind::kFailed};
  if (deadline && now >= *deadline) return Error{"the request's deadline has passed", "", "", 0, ErrorKind::kFailed};
  return std::nullopt;
}

}  // namespace precept
