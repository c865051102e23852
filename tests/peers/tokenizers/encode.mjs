// node encode.mjs rust|js TOKENIZER.json TEXTS.jsonl OUT.jsonl
// Every line of TEXTS is one JSON string; the same line of OUT is {"ids", "text", "offsets"}: the text is that of the ids,
// special tokens included; offsets (rust only) count characters.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const [which, file, textsFile, outFile] = process.argv.slice(2);
const json = readFileSync(file, "utf8");
const texts = readFileSync(textsFile, "utf8").split("\n").filter((line) => line).map((line) => JSON.parse(line));

async function rust() {
  const { Tokenizer } = createRequire(import.meta.url)("tokenizers");
  const tokenizer = Tokenizer.fromString(json);
  const encoded = await tokenizer.encodeBatch(texts, { addSpecialTokens: false });
  const ids = encoded.map((each) => each.getIds());
  const decoded = await tokenizer.decodeBatch(ids, false);
  return ids.map((each, i) => ({ ids: each, text: decoded[i], offsets: encoded[i].getOffsets() }));
}

async function js() {
  const { Tokenizer } = await import("@huggingface/tokenizers");
  const tokenizer = new Tokenizer(JSON.parse(json), { clean_up_tokenization_spaces: false });
  return texts.map((text) => {
    const { ids } = tokenizer.encode(text, { add_special_tokens: false });
    return { ids, text: ids.length ? tokenizer.decode(ids) : "" };
  });
}

const lines = await (which === "rust" ? rust() : js());
writeFileSync(outFile, lines.map((line) => JSON.stringify(line) + "\n").join(""));
