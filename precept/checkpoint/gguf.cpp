#include "precept/checkpoint/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "precept/checkpoint/mapped_file.h"
#include "precept/core/io.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

const char* const kDamaged = "the file is damaged or cut short: get it again";
constexpr std::uint64_t kMaxAlignment = std::uint64_t{1} << 20;
constexpr std::size_t kMaxRank = 4;  // as ggml

// The format's numbers of value types.
enum ValueType : std::uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

// Reads forward through the bytes; every length is compared with what is left before it is used.
class Reader {
 public:
  Reader(std::string_view all, const std::string& file) : all_(all), file_(file) {}

  std::size_t at() const { return at_; }
  std::size_t left() const { return all_.size() - at_; }
  tl::unexpected<Error> refuse(const std::string& what, const char* hint = kDamaged) const {
    return bad_input(what, hint, file_);
  }
  tl::unexpected<Error> too_short(const std::string& where) const { return refuse("ends within " + where); }

  template <class T>
  Result<T> number(const std::string& where) {
    if (left() < sizeof(T)) return too_short(where);
    std::uint64_t bits = 0;
    for (std::size_t i = sizeof(T); i-- > 0;) bits = (bits << 8) | static_cast<unsigned char>(all_[at_ + i]);
    at_ += sizeof(T);
    if constexpr (std::is_same_v<T, float>) return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    else if constexpr (std::is_same_v<T, double>) return std::bit_cast<double>(bits);
    else return static_cast<T>(bits);
  }

  Result<std::string> string(const std::string& where) {
    const auto length = number<std::uint64_t>(where);
    if (!length) return tl::unexpected<Error>(length.error());
    if (*length > left()) return refuse(where + " claims " + std::to_string(*length) + " bytes of " + std::to_string(left()));
    const std::string_view text = all_.substr(at_, static_cast<std::size_t>(*length));
    if (find_invalid_utf8(text)) return refuse(where + " is not UTF-8: " + in_quotes(text));
    at_ += text.size();
    return std::string(text);
  }

  Result<bool> truth(const std::string& where) {
    const auto byte = number<std::uint8_t>(where);
    if (!byte) return tl::unexpected<Error>(byte.error());
    if (*byte > 1) return refuse(where + " is a truth value of " + std::to_string(*byte));
    return *byte == 1;
  }

  template <class T>
  Result<T> one(const std::string& where) {
    if constexpr (std::is_same_v<T, std::string>) return string(where);
    else if constexpr (std::is_same_v<T, bool>) return truth(where);
    else return number<T>(where);
  }

 private:
  std::string_view all_;
  const std::string& file_;
  std::size_t at_ = 0;
};

template <class T>
Result<GgufValue> read_value(Reader& in, bool list, const std::string& where) {
  if (!list) {
    auto value = in.one<T>(where);
    if (!value) return tl::unexpected<Error>(value.error());
    return GgufValue(std::in_place_type<T>, std::move(*value));
  }
  const auto count = in.number<std::uint64_t>(where);
  if (!count) return tl::unexpected<Error>(count.error());
  const std::size_t least = std::is_same_v<T, std::string> ? 8 : sizeof(T);  // bytes of one element
  if (*count > in.left() / least) {
    return in.refuse(where + " claims " + std::to_string(*count) + " elements in " + std::to_string(in.left()) + " bytes");
  }
  std::vector<T> values;
  values.reserve(static_cast<std::size_t>(*count));
  for (std::uint64_t i = 0; i < *count; ++i) {
    auto value = in.one<T>(where);
    if (!value) return tl::unexpected<Error>(value.error());
    values.push_back(std::move(*value));
  }
  return GgufValue(std::in_place_type<std::vector<T>>, std::move(values));
}

Result<GgufValue> read_typed(Reader& in, std::uint32_t type, bool list, const std::string& where) {
  switch (type) {
    case kU8: return read_value<std::uint8_t>(in, list, where);
    case kI8: return read_value<std::int8_t>(in, list, where);
    case kU16: return read_value<std::uint16_t>(in, list, where);
    case kI16: return read_value<std::int16_t>(in, list, where);
    case kU32: return read_value<std::uint32_t>(in, list, where);
    case kI32: return read_value<std::int32_t>(in, list, where);
    case kF32: return read_value<float>(in, list, where);
    case kBool: return read_value<bool>(in, list, where);
    case kString: return read_value<std::string>(in, list, where);
    case kU64: return read_value<std::uint64_t>(in, list, where);
    case kI64: return read_value<std::int64_t>(in, list, where);
    case kF64: return read_value<double>(in, list, where);
    case kArray:
      if (list) return in.refuse(where + " is a list of lists, which is not supported", "supported: lists of numbers, truth values or texts");
      break;
    default: break;
  }
  return in.refuse(where + " has the unknown type " + std::to_string(type));
}

Status read_entry(Reader& in, GgufMetadata& metadata) {
  const auto key = in.string("a metadata key");
  if (!key) return tl::unexpected<Error>(key.error());
  if (key->empty()) return in.refuse("a metadata key is empty");
  const std::string where = "metadata " + in_quotes(*key);
  auto type = in.number<std::uint32_t>(where);
  const bool list = type && *type == kArray;
  if (list) type = in.number<std::uint32_t>(where);
  if (!type) return tl::unexpected<Error>(type.error());
  auto value = read_typed(in, *type, list, where);
  if (!value) return tl::unexpected<Error>(value.error());
  if (!metadata.values.emplace(*key, std::move(*value)).second) return in.refuse(where + " stands twice");
  return {};
}

// What the header says of one tensor.
struct Entry {
  GgufTensor tensor;
  std::uint64_t offset = 0, size = 0;
};

// Bytes of whole rows; 0: does not fit 63 bits.
std::uint64_t bytes_of(const GgufTensor& tensor) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  std::uint64_t total = ggml_block_bytes(tensor.type);
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    auto n = static_cast<std::uint64_t>(tensor.shape[i]);
    if (i + 1 == tensor.shape.size()) n /= ggml_block_elements(tensor.type);
    if (total > kMost / n) return 0;
    total *= n;
  }
  return total;
}

Result<Entry> read_tensor(Reader& in) {
  Entry entry;
  GgufTensor& tensor = entry.tensor;
  auto name = in.string("the name of a tensor");
  if (!name) return tl::unexpected<Error>(name.error());
  if (name->empty()) return in.refuse("a tensor has no name");
  tensor.name = std::move(*name);
  const std::string where = "tensor " + in_quotes(tensor.name);
  const auto rank = in.number<std::uint32_t>(where);
  if (!rank) return tl::unexpected<Error>(rank.error());
  if (*rank == 0 || *rank > kMaxRank) return in.refuse(where + " has " + std::to_string(*rank) + " dimensions, not 1 to 4");
  for (std::uint32_t i = 0; i < *rank; ++i) {
    const auto n = in.number<std::int64_t>(where);
    if (!n) return tl::unexpected<Error>(n.error());
    if (*n <= 0) return in.refuse(where + " has a shape with a size that is no positive count");
    tensor.shape.insert(tensor.shape.begin(), *n);
  }
  const auto type = in.number<std::uint32_t>(where);
  if (!type) return tl::unexpected<Error>(type.error());
  const auto offset = in.number<std::uint64_t>(where);
  if (!offset) return tl::unexpected<Error>(offset.error());
  const auto known = ggml_type_from(*type);
  if (!known) {
    const std::string hint = "supported: " + ggml_types_supported();
    return in.refuse(where + " is " + ggml_type_shown(*type) + ", which is not supported", hint.c_str());
  }
  tensor.type = *known;
  entry.offset = *offset;
  const std::size_t block = ggml_block_elements(*known);
  if (static_cast<std::uint64_t>(tensor.row()) % block != 0) {
    return in.refuse(where + " has rows of " + std::to_string(tensor.row()) + " elements, which are not whole blocks of " +
                     std::to_string(block));
  }
  entry.size = bytes_of(tensor);
  if (entry.size == 0) return in.refuse(where + " has a shape of more than 2^63 bytes");
  return entry;
}

// Gives the tensors their bytes of `data`, all that follows the header.
Status place(std::vector<Entry>& entries, std::string_view data, std::uint64_t alignment, const Reader& in) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.tensor.name < b.tensor.name;
  });
  std::uint64_t end = 0;
  for (Entry& entry : entries) {
    const std::string where = "tensor " + in_quotes(entry.tensor.name);
    if (entry.offset % alignment != 0) {
      return in.refuse(where + " begins at " + std::to_string(entry.offset) + ", no multiple of " + std::to_string(alignment));
    }
    if (entry.offset < end) return in.refuse(where + " overlaps another");
    if (entry.offset - end >= alignment) return in.refuse(where + " leaves a gap before it");
    if (entry.offset > data.size() || entry.size > data.size() - entry.offset) {
      return in.refuse(where + " ends behind the " + std::to_string(data.size()) + " bytes that there are");
    }
    entry.tensor.bytes = data.substr(static_cast<std::size_t>(entry.offset), static_cast<std::size_t>(entry.size));
    end = entry.offset + entry.size;
  }
  if (data.size() - end >= alignment) return in.refuse(std::to_string(data.size() - end) + " bytes belong to no tensor");
  return {};
}

Result<std::uint64_t> alignment_of(const GgufMetadata& metadata, const Reader& in) {
  if (!metadata.has("general.alignment")) return std::uint64_t{32};
  const auto given = metadata.integer("general.alignment", 1, kMaxAlignment);
  if (!given) return tl::unexpected<Error>(given.error());
  const auto alignment = static_cast<std::uint64_t>(*given);
  if (!std::has_single_bit(alignment)) return in.refuse("general.alignment is " + std::to_string(alignment) + ", no power of two");
  return alignment;
}

}  // namespace

std::int64_t GgufTensor::rows() const {
  std::int64_t count = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) count *= shape[i];
  return count;
}

void GgufTensor::read(std::int64_t first, std::span<float> out) const { ggml_rows_to_floats(type, bytes, row(), first, out); }
void GgufTensor::read_bf16(std::int64_t first, std::span<std::uint16_t> out) const {
  ggml_rows_to_bf16(type, bytes, row(), first, out);
}

struct Gguf::File {
  std::unique_ptr<const MappedFile> mapping;  // none when parsed from memory
  std::uint32_t version = 0;
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;

  Status read(std::string_view all);
  Status read_header(Reader& in, std::vector<Entry>& entries);
};

Status Gguf::File::read_header(Reader& in, std::vector<Entry>& entries) {
  const auto given = in.number<std::uint32_t>("the version");
  if (!given) return tl::unexpected<Error>(given.error());
  version = *given;
  if (version != 2 && version != 3) {
    const bool swapped = version == 0x02000000 || version == 0x03000000;
    return in.refuse(swapped ? "is big-endian" : "is GGUF version " + std::to_string(version),
                     "supported: versions 2 and 3, little-endian; convert the model again");
  }
  const auto tensor_count = in.number<std::uint64_t>("the count of tensors");
  if (!tensor_count) return tl::unexpected<Error>(tensor_count.error());
  const auto entry_count = in.number<std::uint64_t>("the count of metadata entries");
  if (!entry_count) return tl::unexpected<Error>(entry_count.error());
  // The smallest entry has 14 bytes (a key of one letter, a byte), the smallest tensor 33: so large counts end here.
  if (*entry_count > in.left() / 14) return in.refuse("claims " + std::to_string(*entry_count) + " metadata entries");
  if (*tensor_count > in.left() / 33) return in.refuse("claims " + std::to_string(*tensor_count) + " tensors");
  for (std::uint64_t i = 0; i < *entry_count; ++i) {
    if (auto fine = read_entry(in, metadata); !fine) return fine;
  }
  for (std::uint64_t i = 0; i < *tensor_count; ++i) {
    auto entry = read_tensor(in);
    if (!entry) return tl::unexpected<Error>(entry.error());
    entries.push_back(std::move(*entry));
  }
  return {};
}

Status Gguf::File::read(std::string_view all) {
  if (all.substr(0, 4) != "GGUF") return bad_input("does not begin with \"GGUF\"", "is this a GGUF file?", metadata.file);
  Reader in(all, metadata.file);
  in.number<std::uint32_t>("the magic").value();
  std::vector<Entry> entries;
  if (auto fine = read_header(in, entries); !fine) return fine;
  const auto alignment = alignment_of(metadata, in);
  if (!alignment) return tl::unexpected<Error>(alignment.error());
  const std::uint64_t begin = (in.at() + *alignment - 1) / *alignment * *alignment;
  const std::string_view data = all.substr(std::min<std::size_t>(all.size(), static_cast<std::size_t>(begin)));
  if (auto fine = place(entries, data, *alignment, in); !fine) return fine;
  tensors.reserve(entries.size());
  for (Entry& entry : entries) tensors.push_back(std::move(entry.tensor));
  std::sort(tensors.begin(), tensors.end(), [](const GgufTensor& a, const GgufTensor& b) { return a.name < b.name; });
  for (std::size_t i = 1; i < tensors.size(); ++i) {
    if (tensors[i - 1].name == tensors[i].name) return in.refuse("tensor " + in_quotes(tensors[i].name) + " stands twice");
  }
  return {};
}

Result<Gguf> Gguf::parse(std::string_view bytes, const std::string& file) {
  auto made = std::make_shared<File>();
  made->metadata.file = file;
  if (auto fine = made->read(bytes); !fine) return tl::unexpected<Error>(fine.error());
  return Gguf(std::move(made));
}

Result<Gguf> Gguf::open(const std::string& path) {
  auto mapping = MappedFile::open(path, 4, "GGUF");
  if (!mapping) return tl::unexpected<Error>(mapping.error());
  auto made = std::make_shared<File>();
  made->mapping = std::move(*mapping);
  made->metadata.file = path;
  if (auto fine = made->read(made->mapping->bytes()); !fine) return tl::unexpected<Error>(fine.error());
  return Gguf(std::move(made));
}

std::uint32_t Gguf::version() const { return file_->version; }
const GgufMetadata& Gguf::metadata() const { return file_->metadata; }
const std::vector<GgufTensor>& Gguf::tensors() const { return file_->tensors; }
const GgufTensor* Gguf::find(std::string_view name) const {
  const auto found = std::lower_bound(file_->tensors.begin(), file_->tensors.end(), name,
                                      [](const GgufTensor& tensor, std::string_view wanted) { return tensor.name < wanted; });
  return found != file_->tensors.end() && found->name == name ? &*found : nullptr;
}

}  // namespace precept
