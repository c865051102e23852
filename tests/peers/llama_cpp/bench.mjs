// Decode of llama.cpp on the same weights and in the same way as `precept bench engine`: new tokens a second after the prompts.
//   precept bench engine --shape 135m --save m && precept model convert m m.gguf
//   node tests/peers/llama_cpp/bench.mjs m.gguf [PROMPT = 128] [TOKENS = 64] [SEQUENCES = 1,8,32] [THREADS = 2]
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [modelPath, prompt = "128", tokens = "64", list = "1,8,32", threads = "2"] = process.argv.slice(2);
const llama = await getLlama({gpu: false, build: "never", usePrebuiltBinaries: true, skipDownload: true, progressLogs: false,
                              logLevel: LlamaLogLevel.error, maxThreads: Number(threads)});
const model = await llama.loadModel({modelPath, gpuLayers: 0});
const random = (n) => Array.from({length: n}, () => 40 + Math.floor(Math.random() * 200));

for (const count of list.split(",").map(Number)) {
  const size = Number(prompt) + Number(tokens) + 2;
  const context = await model.createContext({sequences: count, contextSize: size, batchSize: Math.max(512, count), threads: Number(threads)});
  const sequences = Array.from({length: count}, () => context.getSequence());
  let started = 0, begin = 0, made = 0;
  await Promise.all(sequences.map(async (sequence) => {
    let own = 0;
    for await (const _ of sequence.evaluate(random(Number(prompt)), {temperature: 1, yieldEogToken: true})) {
      if (++own === 1) {
        if (++started === count) begin = performance.now();  // all prompts are read
      } else if (begin > 0) {
        made += 1;
      }
      if (own > Number(tokens)) break;
    }
  }));
  console.log(`${count} sequences: ${(made / (performance.now() - begin) * 1000).toFixed(1)} tokens/s`);
  await context.dispose();
}
process.exit(0);
