"""Writes reference/gemma3-both and reference/llama-classify: decoders without a head for words, as PyTorch has them."""
import json
import os

import torch
from safetensors.torch import save_file
from transformers import Gemma3TextConfig, Gemma3TextModel, LlamaConfig, LlamaForSequenceClassification

SIZES = dict(vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64)


def save(name, model, ids, mask):
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference", name)
    model.eval().save_pretrained(folder)
    with torch.no_grad():
        out = model(ids, attention_mask=mask)
    tensors = {"in.input_ids": ids, "in.attention_mask": mask}
    for key in ("logits", "last_hidden_state"):
        if getattr(out, key, None) is not None:
            tensors["out." + key] = getattr(out, key).contiguous()
    save_file(tensors, os.path.join(folder, "reference.safetensors"))
    return os.path.join(folder, "config.json")


torch.manual_seed(5)
ids = torch.randint(3, 61, (2, 13))
mask = torch.ones(2, 13, dtype=torch.long)
mask[1, 9:] = 0
padded = ids.clone()
padded[1, 9:] = 0
model = Gemma3TextModel(Gemma3TextConfig(**SIZES, head_dim=8, sliding_window=6, query_pre_attn_scalar=8,
                                         layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                                         use_bidirectional_attention=True))
for name, p in model.named_parameters():
    if "norm" not in name:
        torch.nn.init.normal_(p, 0, 0.2)
path = save("gemma3-both", model, ids, mask)
settings = json.load(open(path))
settings["sliding_window"] = 6  # the class halves it when it is made, and would once more when this is read
json.dump(settings, open(path, "w"), indent=1)
save("llama-classify", LlamaForSequenceClassification(LlamaConfig(**SIZES, num_labels=3, pad_token_id=0)), padded, mask)
