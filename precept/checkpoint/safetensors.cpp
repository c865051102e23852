#include "precept/checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>

#include "precept/checkpoint/mapped_file.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

using Json = nlohmann::json;

struct DtypeRow {
  Dtype dtype;
  const char* name;
  std::size_t size;
};
constexpr std::array<DtypeRow, 13> kDtypes{{{Dtype::kBool, "BOOL", 1},
                                            {Dtype::kU8, "U8", 1},
                                            {Dtype::kI8, "I8", 1},
                                            {Dtype::kU16, "U16", 2},
                                            {Dtype::kI16, "I16", 2},
                                            {Dtype::kF16, "F16", 2},
                                            {Dtype::kBF16, "BF16", 2},
                                            {Dtype::kU32, "U32", 4},
                                            {Dtype::kI32, "I32", 4},
                                            {Dtype::kF32, "F32", 4},
                                            {Dtype::kU64, "U64", 8},
                                            {Dtype::kI64, "I64", 8},
                                            {Dtype::kF64, "F64", 8}}};
static_assert([] {
  for (std::size_t i = 0; i < kDtypes.size(); ++i) {
    if (static_cast<std::size_t>(kDtypes[i].dtype) != i) return false;
  }
  return true;
}());

constexpr std::uint64_t kMaxHeader = std::uint64_t{100} << 20;  // as the reference implementation
constexpr std::size_t kMaxRank = 16;

bool has_name(const TensorView& tensor, std::string_view name) { return tensor.name < name; }

const TensorView* find_sorted(const std::vector<TensorView>& tensors, std::string_view name) {
  const auto found = std::lower_bound(tensors.begin(), tensors.end(), name, has_name);
  return found != tensors.end() && found->name == name ? &*found : nullptr;
}

// A JSON number that is a non-negative 63-bit integer.
std::optional<std::int64_t> count_of(const Json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  const auto number = value.get<std::uint64_t>();
  if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

// Bytes of a shape; nullopt: does not fit 63 bits.
std::optional<std::int64_t> bytes_of(const std::vector<std::int64_t>& shape, Dtype dtype) {
  // A zero anywhere makes it 0, whatever the other sizes are.
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  auto total = static_cast<std::int64_t>(dtype_size(dtype));
  for (const std::int64_t n : shape) {
    if (n < 0 || total > std::numeric_limits<std::int64_t>::max() / n) return std::nullopt;
    total *= n;
  }
  return total;
}

const char* const kDamaged = "the file is damaged or cut short: get it again";

// Reads one entry of the header; `data` is all that follows the header.
Result<TensorView> read_entry(const std::string& name, const Json& entry, std::string_view data,
                              const std::string& file) {
  const auto refuse = [&](const std::string& what, const char* hint) {
    return bad_input("tensor " + in_quotes(name) + " " + what, hint, file);
  };
  if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets")) {
    return refuse("is not described by exactly dtype, shape and data_offsets", kDamaged);
  }
  TensorView tensor;
  tensor.name = name;
  const Json& dtype = entry["dtype"];
  const auto known = dtype.is_string() ? dtype_from_name(dtype.get_ref<const std::string&>()) : std::nullopt;
  if (!known) {
    return refuse("has the unknown dtype " + (dtype.is_string() ? in_quotes(dtype.get<std::string>()) : dtype.type_name()),
                  "known: BOOL, U8 to U64, I8 to I64, F16, BF16, F32, F64");
  }
  tensor.dtype = *known;
  const Json& shape = entry["shape"];
  if (!shape.is_array() || shape.size() > kMaxRank) return refuse("has no shape of at most 16 sizes", kDamaged);
  for (const Json& size : shape) {
    const auto n = count_of(size);
    if (!n) return refuse("has a shape with a size that is no count", kDamaged);
    tensor.shape.push_back(*n);
  }
  const Json& offsets = entry["data_offsets"];
  const auto begin = offsets.is_array() && offsets.size() == 2 ? count_of(offsets[0]) : std::nullopt;
  const auto end = begin ? count_of(offsets[1]) : std::nullopt;
  if (!begin || !end || *begin > *end) return refuse("has no data_offsets [begin, end]", kDamaged);
  if (static_cast<std::uint64_t>(*end) > data.size()) {
    return refuse("ends at byte " + std::to_string(*end) + " of " + std::to_string(data.size()), kDamaged);
  }
  const auto needed = bytes_of(tensor.shape, tensor.dtype);
  if (!needed || *needed != *end - *begin) {
    return refuse("has " + std::to_string(*end - *begin) + " bytes, which its shape and dtype do not give", kDamaged);
  }
  tensor.bytes = data.substr(static_cast<std::size_t>(*begin), static_cast<std::size_t>(*end - *begin));
  return tensor;
}

// The spans must cover the data exactly: what lies between tensors could hide anything.
Status check_cover(const std::vector<TensorView>& tensors, std::string_view data, const std::string& file) {
  std::vector<const TensorView*> order;
  order.reserve(tensors.size());
  for (const TensorView& tensor : tensors) order.push_back(&tensor);
  const auto begin_of = [&](const TensorView* t) { return static_cast<std::size_t>(t->bytes.data() - data.data()); };
  std::sort(order.begin(), order.end(), [&](const TensorView* a, const TensorView* b) {
    return begin_of(a) != begin_of(b) ? begin_of(a) < begin_of(b) : a->bytes.size() < b->bytes.size();
  });
  std::size_t at = 0;
  for (const TensorView* tensor : order) {
    if (begin_of(tensor) != at) {
      return bad_input("tensor " + in_quotes(tensor->name) + (begin_of(tensor) < at ? " overlaps another" : " leaves a gap before it"),
                       kDamaged, file);
    }
    at += tensor->bytes.size();
  }
  if (at != data.size()) return bad_input(std::to_string(data.size() - at) + " bytes belong to no tensor", kDamaged, file);
  return {};
}

}  // namespace

std::size_t dtype_size(Dtype dtype) { return kDtypes[static_cast<std::size_t>(dtype)].size; }
std::string_view dtype_name(Dtype dtype) { return kDtypes[static_cast<std::size_t>(dtype)].name; }
std::optional<Dtype> dtype_from_name(std::string_view name) {
  for (const DtypeRow& row : kDtypes) {
    if (name == row.name) return row.dtype;
  }
  return std::nullopt;
}

struct Safetensors::File {
  std::unique_ptr<const MappedFile> mapping;  // none when parsed from memory
  std::vector<TensorView> tensors;
  std::map<std::string, std::string> metadata;

  Status read(std::string_view all, const std::string& file);
};

Status Safetensors::File::read(std::string_view all, const std::string& file) {
  if (all.size() < 8) return bad_input("too short for a safetensors file", kDamaged, file);
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;) length = (length << 8) | static_cast<unsigned char>(all[i]);
  if (length > kMaxHeader || length > all.size() - 8) {
    return bad_input("its header claims " + std::to_string(length) + " bytes",
                     "is this a safetensors file? If so, it is damaged or cut short", file);
  }
  const std::string_view header = all.substr(8, static_cast<std::size_t>(length));
  const std::string_view data = all.substr(8 + header.size());
  const auto json = parse_json_object(header, file, 0);
  if (!json) return tl::unexpected<Error>(json.error());
  for (auto entry = json->begin(); entry != json->end(); ++entry) {
    if (entry.key() == "__metadata__") {
      if (!entry->is_object()) return bad_input("\"__metadata__\" is not an object", kDamaged, file);
      for (auto item = entry->begin(); item != entry->end(); ++item) {
        if (!item->is_string()) return bad_input("metadata " + in_quotes(item.key()) + " is not a string", kDamaged, file);
        metadata.emplace(item.key(), item->get<std::string>());
      }
      continue;
    }
    auto tensor = read_entry(entry.key(), entry.value(), data, file);
    if (!tensor) return tl::unexpected<Error>(tensor.error());
    tensors.push_back(std::move(*tensor));
  }
  std::sort(tensors.begin(), tensors.end(), [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
  return check_cover(tensors, data, file);
}

Result<Safetensors> Safetensors::parse(std::string_view bytes, const std::string& file) {
  auto made = std::make_shared<File>();
  if (auto fine = made->read(bytes, file); !fine) return tl::unexpected<Error>(fine.error());
  return Safetensors(std::move(made));
}

Result<Safetensors> Safetensors::open(const std::string& path) {
  auto mapping = MappedFile::open(path, 8, "safetensors");
  if (!mapping) return tl::unexpected<Error>(mapping.error());
  auto made = std::make_shared<File>();
  made->mapping = std::move(*mapping);
  if (auto fine = made->read(made->mapping->bytes(), path); !fine) return tl::unexpected<Error>(fine.error());
  return Safetensors(std::move(made));
}

const std::vector<TensorView>& Safetensors::tensors() const { return file_->tensors; }
const TensorView* Safetensors::find(std::string_view name) const { return find_sorted(file_->tensors, name); }
const std::map<std::string, std::string>& Safetensors::metadata() const { return file_->metadata; }

const TensorView* CheckpointTensors::find(std::string_view name) const { return find_sorted(tensors, name); }

}  // namespace precept
