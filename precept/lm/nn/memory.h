#pragma once
// Memory of the numerical buffers: cache-line aligned, and on large pages where the system has them,
// since a step walks through more memory than the processor's page table cache covers.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include <sys/mman.h>

namespace precept::nn {

// Advice: what is refused costs only speed.
inline void on_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr std::uintptr_t kPage = std::uintptr_t{2} << 20;
  const auto at = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t begin = (at + kPage - 1) / kPage * kPage, end = (at + bytes) / kPage * kPage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

template <class T>
struct Aligned {
  using value_type = T;
  Aligned() = default;
  template <class U>
  Aligned(const Aligned<U>&) {}  // NOLINT: an allocator of another type is the same allocator

  T* allocate(std::size_t n) {
    constexpr std::size_t kLine = 64;
    constexpr std::size_t kPage = std::size_t{2} << 20;
    const std::size_t step = n * sizeof(T) >= kPage ? kPage : kLine;
    const std::size_t bytes = (n * sizeof(T) + step - 1) / step * step;
    void* memory = std::aligned_alloc(step, bytes);
    if (!memory) throw std::bad_alloc();
    if (step == kPage) on_large_pages(memory, bytes);
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t) { std::free(memory); }
  bool operator==(const Aligned&) const { return true; }
};

// Such memory as it comes: nothing is written into it, so that whoever fills it first is whose page it becomes.
template <class T>
struct FreeAligned {
  void operator()(T* memory) const { Aligned<T>().deallocate(memory, 0); }
};
template <class T>
using Uninitialised = std::unique_ptr<T[], FreeAligned<T>>;
template <class T>
Uninitialised<T> uninitialised(std::size_t n) {
  return Uninitialised<T>(Aligned<T>().allocate(n));
}

using Floats = std::vector<float, Aligned<float>>;

// Scratch that grows: at least n floats of `v`; what is in them is nobody's.
inline float* sized(Floats& v, std::size_t n) {
  if (v.size() < n) v.resize(n);
  return v.data();
}

}  // namespace precept::nn
