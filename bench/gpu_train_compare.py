#!/usr/bin/env python3
"""The trainer on a GPU beside transformers and peft: the same shape, random weights and tokens, the same run (docs/gpu.md).

Both make whole steps: forwards, backwards, the gradient's norm clipped at 1, AdamW, and the loss read. Tokens a second are rows x
length a step; ours computes all but the last token of a row, which is only predicted. Both attend causally within rows.

sft trains all weights.
  --theirs mixed  fp32 weights, gradients and moments, products in bf16 by autocast: 16 bytes a parameter, and the bf16 copies of
                  a step (ours: the same in fp32, and factors in bf16 all the time: 18)
  --theirs bf16   weights, gradients and moments in bf16, and no masters: 8 bytes. Updates below about 1/256 of a weight are lost, so it
                  is not the same training; it is how fast they can be
lora trains rank 16 on all matrices but the head and embeddings, on a frozen base in bf16, which both hold.
  --theirs mixed  the adapter in fp32, its products in bf16 by autocast (ours: the same)
  --theirs bf16   the adapter and its moments in bf16

Theirs runs all rows of a step at once unless --rows-at-once says otherwise; ours runs up to 8,192 tokens at once.
Needs torch with CUDA and transformers; for lora peft. Prints JSON: tokens a second of both, their ratio, what share each has of
the GPU's roof (products of 8192 x 8192 matrices, which bench_train measures) and of --peak, and bench_train's own report. An
adapter's share counts the work that it needs: the frozen matrices have no gradient.
"""
import argparse
import gc
import json
import subprocess
import time

import torch
import transformers

# As precept/lm/bench/random_model.cpp has them: vocabulary, hidden, feed-forward, layers, heads, key/value heads, head width, tied
# embeddings, rotary base. Parameters are compared with what bench_train counted.
SHAPES = {
    "pocket": (2048, 192, 512, 6, 6, 6, 32, True, 10000.0),
    "135m": (49152, 576, 1536, 30, 9, 3, 64, True, 10000.0),
    "360m": (49152, 960, 2560, 32, 15, 5, 64, True, 10000.0),
    "1b": (128256, 2048, 8192, 16, 32, 8, 64, True, 10000.0),
    "8b": (128256, 4096, 14336, 32, 32, 8, 128, False, 500000.0),
}
MATRICES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def config_of(shape):
    vocab, hidden, feed_forward, layers, heads, kv_heads, width, tied, base = SHAPES[shape]
    return transformers.LlamaConfig(
        vocab_size=vocab, hidden_size=hidden, intermediate_size=feed_forward, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, head_dim=width, tie_word_embeddings=tied, rope_theta=base, max_position_embeddings=8192,
        rms_norm_eps=1e-5, use_cache=False, attn_implementation="sdpa")


def model_of(options, device):
    mixed = options.theirs == "mixed"
    torch.set_default_dtype(torch.float32 if options.mode == "sft" and mixed else torch.bfloat16)
    with torch.device(device):
        model = transformers.LlamaForCausalLM(config_of(options.shape))
    torch.set_default_dtype(torch.float32)
    if options.activation_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if options.mode == "lora":
        import peft
        lora = peft.LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=MATRICES, task_type="CAUSAL_LM")
        model = peft.get_peft_model(model, lora, autocast_adapter_dtype=mixed)
    return model.train()


def multiplying(model):
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, torch.nn.Linear))


# Tokens a second, and the parameters that multiply.
def transformers_rate(options, device="cuda"):
    model = model_of(options, device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    ids = torch.randint(0, model.config.vocab_size, (options.rows, options.length), device=device)
    at_once = options.rows_at_once or options.rows

    def step():
        loss = torch.zeros((), device=device)
        for rows in ids.split(at_once):
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=options.theirs == "mixed"):
                part = model(input_ids=rows, labels=rows).loss * (len(rows) / options.rows)
            part.backward()
            loss += part.detach()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()  # waits for all of it

    for _ in range(3):
        step()  # makes moments and buffers, chooses kernels
    steps, start = 0, time.perf_counter()
    while steps < 3 or time.perf_counter() - start < options.seconds:
        step()
        steps += 1
    return steps * options.rows * options.length / (time.perf_counter() - start), multiplying(model)


def bench_train(options, device="cuda"):
    command = [options.bench_train, "--json", "--device", device, "--shape", options.shape, "--train", options.mode, "--precision", "bf16",
               "--rows", str(options.rows), "--length", str(options.length), "--seconds", str(options.seconds), "--lora-rank", "16"]
    if options.activation_checkpointing:
        command.append("--activation-checkpointing")
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def options_of(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench_train", help="the built program")
    parser.add_argument("shape", nargs="?", default="1b", choices=SHAPES)
    parser.add_argument("mode", nargs="?", default="lora", choices=["lora", "sft"])
    parser.add_argument("rows", nargs="?", type=int, default=16, help="rows of a step")
    parser.add_argument("length", nargs="?", type=int, default=512, help="tokens of a row")
    parser.add_argument("--theirs", default="mixed", choices=["mixed", "bf16"], help="what transformers holds (above)")
    parser.add_argument("--activation-checkpointing", action="store_true", help="of both")
    parser.add_argument("--rows-at-once", type=int, default=0, help="of theirs, gradients added up; 0: all")
    parser.add_argument("--seconds", type=float, default=20, help="that each is measured for")
    parser.add_argument("--peak", type=float, default=989, help="TFLOP/s of dense bf16 that the maker names; H100 SXM and H200: 989")
    return parser.parse_args(arguments)


def main():
    options = options_of()
    theirs, parameters = transformers_rate(options)
    gc.collect()
    torch.cuda.empty_cache()
    report = bench_train(options)
    if report["parameters"] != parameters:
        raise SystemExit(f"not the same shape: {parameters} and {report['parameters']} parameters multiply")
    ours = report["tokens_per_s"]
    roof = max(report["gemm_gflops_before"], report["gemm_gflops_after"])
    shares = {"precept": report["share_of_roof_needed"], "transformers": report["share_of_roof_needed"] * theirs / ours}
    print(json.dumps({"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "transformers": transformers.__version__,
                      "theirs": options.theirs, "rows_at_once": options.rows_at_once or options.rows,
                      "transformers_tokens_per_s": theirs, "precept_tokens_per_s": ours, "ratio": ours / theirs, "share_of_roof": shares,
                      "share_of_peak": {who: share * roof / (1e3 * options.peak) for who, share in shares.items()},
                      "bench_train": report}, indent=2))


if __name__ == "__main__":
    main()
