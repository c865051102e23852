// What @huggingface/gguf reads of a file: node read.mjs FILE
// One line of JSON: {"version", "metadata": {key: [type, value]}, "tensors": [[name, type, sizes, offset]]}; numbers as text.
import { gguf, GGMLQuantizationType, GGUFValueType } from "@huggingface/gguf";

const { metadata, tensorInfos, typedMetadata } = await gguf(process.argv[2], { allowLocalFile: true, typedMetadata: true });
const shown = (value) => (Array.isArray(value) ? value.map(shown) : typeof value === "boolean" || typeof value === "string" ? value : String(value));
const entries = Object.entries(typedMetadata)
  .filter(([key]) => !["version", "tensor_count", "kv_count"].includes(key))
  .map(([key, { value, type, subType }]) => [key, [GGUFValueType[type] + (subType === undefined ? "" : " of " + GGUFValueType[subType]), shown(value)]]);
console.log(JSON.stringify({
  version: Number(metadata.version),
  metadata: Object.fromEntries(entries),
  tensors: tensorInfos.map((tensor) => [tensor.name, GGMLQuantizationType[tensor.dtype], tensor.shape.map(String), String(tensor.offset)]),
}));
