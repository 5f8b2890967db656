#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small models in Hugging Face's form, with PyTorch's logits: fixtures of test_hf.

  python3 tests/oracle/make_hf.py [QWEN3_DIR]        needs torch and transformers

Writes tests/oracle/hf/<case>/: what save_pretrained makes of a model with random weights (each
case another architecture, head count, element type, number of files), and logits.tsv, a line a
position: token, then the logits of the next. With the folder of a Qwen3 checkpoint, its logits
alone go to tests/oracle/hf/qwen3_tiny.tsv, computed in fp32 from the weights as they are stored.
"""
import os
import shutil
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hf")
LENGTH = 24

LLAMA = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
             num_key_value_heads=3, vocab_size=61, max_position_embeddings=64)
QWEN = dict(hidden_size=20, intermediate_size=28, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, head_dim=6, vocab_size=53, max_position_embeddings=40)

# name: class, config, element type, largest file
CASES = {
    "llama": (LlamaForCausalLM, LlamaConfig(**LLAMA, rms_norm_eps=1e-5, eos_token_id=[3, 5]),
              torch.float32, "1GB"),
    "llama_gqa_tied": (LlamaForCausalLM,
                       LlamaConfig(**{**LLAMA, "num_attention_heads": 6, "num_key_value_heads": 2,
                                      "head_dim": 8}, tie_word_embeddings=True, eos_token_id=7),
                       torch.float16, "1GB"),
    "qwen3_sharded": (Qwen3ForCausalLM, Qwen3Config(**QWEN, rope_theta=1e6, bos_token_id=None,
                                                    eos_token_id=[52, 50]), torch.bfloat16, "8KB"),
    "qwen3_tied": (Qwen3ForCausalLM, Qwen3Config(**QWEN, rope_theta=5e5, tie_word_embeddings=True),
                   torch.float32, "20KB"),
}


def ids(vocab):
    return torch.tensor([[(i * i * 7 + i * 13 + 3) % vocab for i in range(LENGTH)]])


def write_logits(model, vocab, path):
    tokens = ids(vocab)
    with torch.no_grad():
        logits = model.float().eval()(tokens).logits[0]
    with open(path, "w") as out:
        for token, row in zip(tokens[0].tolist(), logits.tolist()):
            out.write("\t".join([str(token)] + ["%.7g" % x for x in row]) + "\n")


def main():
    for name, (kind, config, dtype, shard) in CASES.items():
        torch.manual_seed(len(name))
        model = kind(config)
        with torch.no_grad():  # random weights are small: logits would say nothing
            for p in model.parameters():
                p.copy_(torch.randn_like(p) * (0.3 if p.dim() > 1 else 0.1) + (p.dim() == 1))
        model.tie_weights()
        out = os.path.join(HERE, name)
        shutil.rmtree(out, ignore_errors=True)
        model.to(dtype).save_pretrained(out, max_shard_size=shard)
        write_logits(kind.from_pretrained(out), config.vocab_size, os.path.join(out, "logits.tsv"))
    if len(sys.argv) > 1:
        model = Qwen3ForCausalLM.from_pretrained(sys.argv[1])
        write_logits(model, model.config.vocab_size, os.path.join(HERE, "qwen3_tiny.tsv"))


if __name__ == "__main__":
    main()
