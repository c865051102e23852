// What llama.cpp makes of texts and of the tokens that another program continued them with.
//   node follow.mjs JOB.json >ANSWER.json
// JOB is [{"model": "x.gguf", "choices": 500, "prompts": [{"text": "...", "tokens": [1, 2]}]}]. For each prompt the answer holds "prompt_tokens" (of the
// text, with bos where the file asks for it) and for each of the tokens, given all before it: its log-probability, the most
// probable token (of those below "choices"), and that one's log-probability. Keys and values are cached in F32, and nothing is fused.
import {readFileSync} from "node:fs";
import {dirname, resolve} from "node:path";
import {fileURLToPath} from "node:url";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const job = JSON.parse(readFileSync(process.argv[2], "utf8"));
const llama = await getLlama({gpu: false, build: "never", usePrebuiltBinaries: true, skipDownload: true, progressLogs: false,
                              logLevel: LlamaLogLevel.error, maxThreads: 1});

async function follow(sequence, model, choices, {text, tokens}) {
  const prompt = [...(model.tokens.shouldPrependBosToken ? [model.tokens.bos] : []), ...model.tokenize(text, false)];
  await sequence.clearHistory();
  const all = [...prompt, ...tokens].slice(0, -1);
  const ask = {generateNext: {probabilities: true, options: {temperature: 0}}};
  const found = await sequence.controlledEvaluate(all.map((token, i) => i < prompt.length - 1 ? token : [token, ask]));
  const steps = found.slice(prompt.length - 1).map(({next}, i) => {
    const [top, most] = [...next.probabilities].filter(([token]) => token < choices).reduce((a, b) => b[1] > a[1] ? b : a);
    return {logprob: Math.log(next.probabilities.get(tokens[i])), top, top_logprob: Math.log(most)};
  });
  return {prompt_tokens: prompt.length, steps};
}

const answer = [];
for (const {model: modelPath, choices, prompts} of job) {
  const model = await llama.loadModel({modelPath, gpuLayers: 0, checkTensors: true});
  const context = await model.createContext({contextSize: 256, batchSize: 256, flashAttention: false, threads: 1,
                                             experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32"});
  const followed = [], sequence = context.getSequence();
  for (const prompt of prompts) followed.push(await follow(sequence, model, choices, prompt));
  answer.push(followed);
  await context.dispose();
  await model.dispose();
}
process.stdout.write(JSON.stringify(answer));
process.exit(0);
