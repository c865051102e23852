// llama.cpp behind an OpenAI-compatible endpoint, to drive the same loop through it: chat completions with log-probabilities of first tokens.
//   node tests/peers/llama_cpp/serve.mjs m.gguf [PORT = 8099] [SEQUENCES = 16] [CONTEXT = 1024] [THREADS = 2]
// Requests share steps: each takes the free sequence that begins most like it, and only what differs is computed, as in llama-server.
import {createServer} from "node:http";
import {Template} from "../jinja/node_modules/@huggingface/jinja/dist/index.js";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [modelPath, port = "8099", sequences = "16", size = "1024", threads = "2"] = process.argv.slice(2);
const llama = await getLlama({gpu: false, build: "never", usePrebuiltBinaries: true, skipDownload: true, progressLogs: false,
                              logLevel: LlamaLogLevel.error, maxThreads: Number(threads)});
const model = await llama.loadModel({modelPath, gpuLayers: 0});
const context = await model.createContext({sequences: Number(sequences), contextSize: Number(size), batchSize: 512, threads: Number(threads)});
const template = new Template(model.fileInfo.metadata.tokenizer.chat_template);
const special = (token) => token == null ? "" : model.detokenize([token], true);

const free = Array.from({length: Number(sequences)}, () => ({sequence: context.getSequence(), tokens: []}));
const waiting = [];
const common = (a, b) => { let i = 0; while (i < a.length && i < b.length && a[i] === b[i]) ++i; return i; };
async function take(tokens) {
  while (free.length === 0) await new Promise((resolve) => waiting.push(resolve));
  const best = free.reduce((a, b) => common(b.tokens, tokens) > common(a.tokens, tokens) ? b : a);
  free.splice(free.indexOf(best), 1);
  return best;
}
function give(slot, tokens) {
  slot.tokens = tokens;
  free.push(slot);
  waiting.shift()?.();
}

// The last token of a prompt is always computed: what comes next is asked of it.
async function complete(body) {
  const text = template.render({messages: body.messages, add_generation_prompt: true, bos_token: special(model.tokens.bos), eos_token: special(model.tokens.eos)});
  const prompt = model.tokenize(text, true), limit = body.max_tokens ?? body.max_completion_tokens ?? 256;
  if (prompt.length + limit > Number(size)) throw Object.assign(new Error(`${prompt.length} tokens and ${limit} new ones are more than the context's ${size}`), {status: 400});
  const slot = await take(prompt), made = [];
  try {
    const same = Math.min(common(slot.tokens, prompt), prompt.length - 1);
    await slot.sequence.adaptStateToTokens(prompt.slice(0, same), false);
    const rest = prompt.slice(slot.sequence.nextTokenIndex);
    const usage = {prompt_tokens: prompt.length, prompt_tokens_details: {cached_tokens: prompt.length - rest.length}};
    if (body.logprobs && limit === 1) {
      const found = await slot.sequence.controlledEvaluate([...rest.slice(0, -1), [rest.at(-1), {generateNext: {probabilities: true, options: {temperature: 0}}}]]);
      const top = [...found.at(-1).next.probabilities].slice(0, body.top_logprobs ?? 1)
        .map(([token, probability]) => ({token: model.detokenize([token], false), logprob: Math.log(probability)}));
      return {message: {role: "assistant", content: top[0].token}, finish_reason: "length", logprobs: {content: [{...top[0], top_logprobs: top}]},
              usage: {...usage, completion_tokens: 1}};
    }
    const stops = [body.stop ?? []].flat();
    let said = "", finish = "length";
    for await (const token of slot.sequence.evaluate(rest, {temperature: body.temperature ?? 1, topP: body.top_p ?? 1, seed: body.seed, yieldEogToken: true})) {
      if (model.isEogToken(token)) { finish = "stop"; break; }
      made.push(token);
      said = model.detokenize(made, false);
      const at = Math.min(...stops.map((stop) => said.indexOf(stop)).filter((i) => i >= 0));
      if (Number.isFinite(at)) { said = said.slice(0, at); finish = "stop"; break; }
      if (made.length >= limit) break;
    }
    return {message: {role: "assistant", content: said}, finish_reason: finish, usage: {...usage, completion_tokens: made.length}};
  } finally {
    give(slot, slot.sequence.contextTokens.slice());
  }
}

createServer(async (request, response) => {
  const answer = (status, value) => response.writeHead(status, {"content-type": "application/json"}).end(JSON.stringify(value));
  if (request.url.endsWith("/models")) return answer(200, {object: "list", data: [{id: "model", object: "model"}]});
  let text = "";
  for await (const part of request) text += part;
  try {
    const {usage, ...choice} = await complete(JSON.parse(text));
    answer(200, {object: "chat.completion", model: "model", choices: [{index: 0, ...choice}], usage});
  } catch (error) {
    answer(error.status ?? 500, {error: {message: error.message}});
  }
}).listen(Number(port), "127.0.0.1", () => console.log(`http://127.0.0.1:${port}/v1#model`));
