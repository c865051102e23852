#!/usr/bin/env python3
"""The engine on a GPU beside transformers' generate: the same weights, the same run (docs/gpu.md).

Needs torch with CUDA and transformers. Prints JSON: tokens a second of both, prompts included, their ratio, and the engine's
own report with its shares of the GPU's roofs.
"""
import argparse
import json
import subprocess
import tempfile
import time

import torch
from transformers import AutoModelForCausalLM


def transformers_rate(folder, sequences, prompt, new):
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.bfloat16, attn_implementation="sdpa").to("cuda").eval()
    ids = torch.randint(3, 250, (sequences, prompt), device="cuda")
    options = dict(attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, top_p=1.0, temperature=1.0, pad_token_id=0)
    with torch.inference_mode():
        model.generate(ids, min_new_tokens=new, max_new_tokens=new, **options)
        torch.cuda.synchronize()
        start = time.perf_counter()
        model.generate(ids, min_new_tokens=new, max_new_tokens=new, **options)
        torch.cuda.synchronize()
    return sequences * new / (time.perf_counter() - start)


def bench(program, shape, device, sequences, prompt, new, *more):
    command = [program, "bench", "engine", "--json", "--shape", shape, "--device", device, "--sequences", str(sequences),
               "--prompt", str(prompt), "--tokens", str(new), *more]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("precept", help="the built program")
    parser.add_argument("shape", nargs="?", default="1b", help="one that `precept bench engine` knows")
    parser.add_argument("sequences", nargs="?", type=int, default=256)
    parser.add_argument("prompt", nargs="?", type=int, default=512, help="tokens of each prompt")
    parser.add_argument("new", nargs="?", type=int, default=256, help="new tokens of each sequence")
    options = parser.parse_args()
    program, shape, sequences, prompt, new = options.precept, options.shape, options.sequences, options.prompt, options.new
    with tempfile.TemporaryDirectory() as folder:
        bench(program, shape, "cuda", 1, 16, 2, "--save", folder)  # writes the checkpoint
        theirs = transformers_rate(folder, sequences, prompt, new)
        torch.cuda.empty_cache()
        report = bench(program, folder, "cuda", sequences, prompt, new, "--turns", "3")  # the first one captures graphs; the median is told
    decode = report["decode"][0]
    ours = sequences * new / (decode["prompt_seconds"] + decode["seconds"])
    print(json.dumps({"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "transformers_tokens_per_s": theirs,
                      "engine_tokens_per_s": ours, "ratio": ours / theirs, "engine": report}, indent=2))


if __name__ == "__main__":
    main()
