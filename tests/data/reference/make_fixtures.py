"""Write small random checkpoints of many Transformer families, each with reference outputs.

Run with HF Transformers and PyTorch (CPU).
usage: make_fixtures.py OUT [--seed N] [--size mini|tiny|small] [--only a,b]     (--only encoders: those of ENCODERS)
Every folder holds config.json + model.safetensors (Hugging Face names) and reference.safetensors:
inputs and float32 outputs of the same checkpoint as PyTorch (eager attention) computed them.
In this folder: what ENCODERS lists with --size mini, everything else with --size tiny.
"""
import argparse, json, os, sys, warnings
os.environ["HF_HUB_OFFLINE"] = "1"; os.environ["TRANSFORMERS_VERBOSITY"] = "error"
warnings.filterwarnings("ignore")
import torch, transformers as tf
tf.utils.logging.disable_progress_bar()
from safetensors.torch import save_file

# name: vocabulary, width, heads, key/value heads, layers, feed-forward width, tokens
SIZES = {"mini": (41, 16, 2, 1, 2, 24, 9), "tiny": (61, 32, 4, 2, 2, 48, 11), "small": (199, 64, 4, 2, 2, 160, 17)}
ap = argparse.ArgumentParser(); ap.add_argument("out"); ap.add_argument("--seed", type=int, default=1)
ap.add_argument("--size", default="tiny", choices=SIZES); ap.add_argument("--only", default="")
a = ap.parse_args()
V, D, H, KV, L, F, T = SIZES[a.size]
HD = D // H


def randomise(m, g):
    """Weights large enough for outputs to depend on every one of them."""
    with torch.no_grad():
        for n, p in m.named_parameters():
            if not p.requires_grad:
                continue  # sinusoids, which checkpoints leave out: what computes them again must find the same
            if p.dim() >= 2:
                fan = p.shape[-1] if p.dim() == 2 else p[0].numel()
                p.copy_(torch.randn(p.shape, generator=g) * (1.0 / fan ** 0.5))
            elif n.endswith("bias"):
                p.copy_(torch.randn(p.shape, generator=g) * 0.1)
            else:
                p.copy_(1.0 + torch.randn(p.shape, generator=g) * 0.1)
    return m.eval()


def ids(g, n=T, b=1, lo=3):
    return torch.randint(lo, V, (b, n), generator=g)


def flat(prefix, x, out):
    if torch.is_tensor(x):
        out[prefix] = x.detach().to(torch.float32 if x.is_floating_point() else torch.int64).contiguous().clone()
    elif isinstance(x, (tuple, list)):
        for i, y in enumerate(x):
            flat(f"{prefix}.{i}", y, out)


KEEP = ("logits", "last_hidden_state", "pooler_output", "hidden_states", "attentions", "encoder_last_hidden_state",
        "decoder_hidden_states", "decoder_attentions", "cross_attentions", "encoder_attentions", "image_embeds",
        "text_embeds", "logits_per_image", "global_attentions", "start_logits", "end_logits")


def put(name, m, inputs, extra=None):
    d = os.path.join(a.out, name); os.makedirs(d, exist_ok=True)
    m.config._attn_implementation = "eager"
    with torch.no_grad():
        o = m(**inputs, output_hidden_states=True, output_attentions=True, return_dict=True)
    ref = {}
    for k, v in inputs.items():
        flat("in." + k, v, ref)
    for k in KEEP:
        v = getattr(o, k, None)
        if v is not None:
            flat("out." + k, v, ref)
    for k, v in (extra or {}).items():
        flat("out." + k, v, ref)
    m.save_pretrained(d)
    save_file(ref, os.path.join(d, "reference.safetensors"))
    print(f"{name:28s} {sum(p.numel() for p in m.parameters()):>8d} params  {len(ref)} tensors", flush=True)


def causal(name, cls, cfg, gen=12, **kw):
    g = torch.Generator().manual_seed(a.seed)
    cfg._attn_implementation = "eager"
    m = randomise(cls(cfg), g)
    x = ids(g)
    with torch.no_grad():
        y = m.generate(x[:, :7], max_new_tokens=gen, do_sample=False, use_cache=True, pad_token_id=0, eos_token_id=None)
    put(name, m, dict(input_ids=x, **kw), dict(greedy_from_7=y))


def encoder(name, cls, cfg, pad=5, extra_in=None, extra=None, n=T):
    """extra: more outputs, of the model and its inputs."""
    g = torch.Generator().manual_seed(a.seed)
    cfg._attn_implementation = "eager"
    m = randomise(cls(cfg), g)
    x = ids(g, n, b=2); mask = torch.ones_like(x); mask[1, n - pad:] = 0; x[1, n - pad:] = cfg.pad_token_id or 0
    inp = dict(input_ids=x, attention_mask=mask)
    if extra_in: inp.update(extra_in(x))
    put(name, m, inp, extra(m, inp, g) if extra else None)


def dump(path, what):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f: json.dump(what, f, indent=2)


MODES = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")


def pooled(x, mask, mode):
    """The pooling modes of sentence-transformers, from their documentation."""
    w = mask[:, :, None].float()
    if mode == "cls_token": return x[:, 0]
    if mode == "max_tokens": return x.masked_fill(w == 0, -1e9).max(1).values
    if mode == "mean_tokens": return (x * w).sum(1) / w.sum(1)
    if mode == "mean_sqrt_len_tokens": return (x * w).sum(1) / w.sum(1).sqrt()
    if mode == "lasttoken": return torch.stack([r[int(k.nonzero().max())] for r, k in zip(x, mask)])
    w = w * torch.arange(1, x.shape[1] + 1)[None, :, None]
    return (x * w).sum(1) / w.sum(1)


def sentence(name, cls, cfg, modes, dense=0, normalize=False):
    """An encoder in the layout of sentence-transformers."""
    d = os.path.join(a.out, name)
    kind = lambda t: "sentence_transformers.models." + t
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    if dense: modules.append(("2_Dense", "Dense"))
    if normalize: modules.append((f"{len(modules)}_Normalize", "Normalize"))
    dump(os.path.join(d, "modules.json"), [dict(idx=i, name=str(i), path=p, type=kind(t)) for i, (p, t) in enumerate(modules)])
    dump(os.path.join(d, "sentence_bert_config.json"), dict(max_seq_length=cfg.max_position_embeddings - 4, do_lower_case=False))
    dump(os.path.join(d, "1_Pooling/config.json"), dict({"word_embedding_dimension": cfg.hidden_size}, **{"pooling_mode_" + k: k in modes for k in MODES}))

    def embed(m, inp, g):
        with torch.no_grad():
            x = m(**inp).last_hidden_state
            y = torch.cat([pooled(x, inp["attention_mask"], k) for k in MODES if k in modes], 1)
            if dense:
                n = y.shape[1]
                layer = {"linear.weight": torch.randn(dense, n, generator=g) / n ** 0.5, "linear.bias": torch.randn(dense, generator=g) * 0.1}
                dump(os.path.join(d, "2_Dense/config.json"), dict(in_features=n, out_features=dense, bias=True, activation_function="torch.nn.modules.activation.Tanh"))
                save_file(layer, os.path.join(d, "2_Dense/model.safetensors"))
                y = torch.tanh(y @ layer["linear.weight"].T + layer["linear.bias"])
            if normalize: y = torch.nn.functional.normalize(y, dim=1)
        return dict(sentence_embedding=y)
    encoder(name, cls, cfg, extra=embed)


def seq2seq(name, cls, cfg, gen=10):
    g = torch.Generator().manual_seed(a.seed)
    cfg._attn_implementation = "eager"
    m = randomise(cls(cfg), g)
    x = ids(g); y = ids(g, n=T - 6)
    with torch.no_grad():
        z = m.generate(x, max_new_tokens=gen, do_sample=False, num_beams=1)
        b = m.generate(x, max_new_tokens=gen, do_sample=False, num_beams=4, length_penalty=1.0, early_stopping=True)
    put(name, m, dict(input_ids=x, decoder_input_ids=y), dict(greedy=z, beam4=b))


base = dict(vocab_size=V, hidden_size=D, num_attention_heads=H, num_hidden_layers=L, intermediate_size=F, max_position_embeddings=64)
lm = dict(base, num_key_value_heads=KV, pad_token_id=0, bos_token_id=1, eos_token_id=2)
bt = dict(base, pad_token_id=0)
s2 = dict(vocab_size=V, d_model=D, encoder_layers=L, decoder_layers=L, encoder_attention_heads=H, decoder_attention_heads=H,
          encoder_ffn_dim=F, decoder_ffn_dim=F, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
          decoder_start_token_id=0, forced_eos_token_id=None)
rope = lambda theta=10000.0, **k: dict(rope_parameters=dict(rope_theta=theta, rope_type=k.pop("rope_type", "default"), **k))

J, ENCODERS = {}, []
def job(f): J[f.__name__.replace("_", "-")] = f; return f
def small_job(f): ENCODERS.append(f.__name__.replace("_", "-")); return job(f)

@job
def bert_base(): encoder("bert-base", tf.BertModel, tf.BertConfig(**bt, type_vocab_size=2), extra_in=lambda x: dict(token_type_ids=(torch.arange(x.shape[1])[None] > 6).long().expand(x.shape).contiguous()))
@job
def bert_mlm(): encoder("bert-mlm", tf.BertForMaskedLM, tf.BertConfig(**bt))
@job
def bert_classify(): encoder("bert-classify", tf.BertForSequenceClassification, tf.BertConfig(**bt, num_labels=3))
@job
def bert_ner(): encoder("bert-ner", tf.BertForTokenClassification, tf.BertConfig(**bt, num_labels=9))
@job
def distilbert(): encoder("distilbert", tf.DistilBertForSequenceClassification, tf.DistilBertConfig(vocab_size=V, dim=D, n_heads=H, n_layers=L, hidden_dim=F, max_position_embeddings=64, num_labels=2))
@job
def roberta(): encoder("roberta", tf.RobertaForMaskedLM, tf.RobertaConfig(**dict(base, pad_token_id=1), type_vocab_size=1))
@job
def modernbert(): encoder("modernbert", tf.ModernBertForMaskedLM, tf.ModernBertConfig(**dict(bt), local_attention=8, global_attn_every_n_layers=2, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2))
@job
def longformer(): encoder("longformer", tf.LongformerForMaskedLM, tf.LongformerConfig(**dict(base, pad_token_id=1, max_position_embeddings=80), attention_window=[8] * L, type_vocab_size=1),
                          extra_in=lambda x: dict(global_attention_mask=(torch.arange(x.shape[1])[None] == 0).long().expand(x.shape).contiguous()))
@job
def gpt2(): causal("gpt2", tf.GPT2LMHeadModel, tf.GPT2Config(vocab_size=V, n_embd=D, n_head=H, n_layer=L, n_inner=F, n_positions=64, bos_token_id=1, eos_token_id=2))
@job
def gpt_neox(): causal("gpt-neox", tf.GPTNeoXForCausalLM, tf.GPTNeoXConfig(**base, rotary_pct=0.5, bos_token_id=1, eos_token_id=2))
@job
def opt(): causal("opt", tf.OPTForCausalLM, tf.OPTConfig(vocab_size=V, hidden_size=D, num_attention_heads=H, num_hidden_layers=L, ffn_dim=F, max_position_embeddings=64, word_embed_proj_dim=D, pad_token_id=1, bos_token_id=2, eos_token_id=2))
@job
def bloom(): causal("bloom", tf.BloomForCausalLM, tf.BloomConfig(vocab_size=V, hidden_size=D, n_head=H, n_layer=L, pad_token_id=0, bos_token_id=1, eos_token_id=2))
@job
def llama(): causal("llama", tf.LlamaForCausalLM, tf.LlamaConfig(**lm, tie_word_embeddings=False))
@job
def llama3(): causal("llama3-rope", tf.LlamaForCausalLM, tf.LlamaConfig(**dict(lm, max_position_embeddings=128), tie_word_embeddings=True, **rope(5e5, rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)))
@job
def mistral(): causal("mistral-window", tf.MistralForCausalLM, tf.MistralConfig(**lm, sliding_window=8, head_dim=HD))
@job
def qwen2(): causal("qwen2", tf.Qwen2ForCausalLM, tf.Qwen2Config(**lm, tie_word_embeddings=True))
@job
def qwen3(): causal("qwen3", tf.Qwen3ForCausalLM, tf.Qwen3Config(**lm, head_dim=HD * 2, tie_word_embeddings=False))
@job
def qwen3_moe(): causal("qwen3-moe", tf.Qwen3MoeForCausalLM, tf.Qwen3MoeConfig(**lm, head_dim=HD, num_experts=6, num_experts_per_tok=2, moe_intermediate_size=48, norm_topk_prob=True, decoder_sparse_step=1))
@job
def mixtral(): causal("mixtral", tf.MixtralForCausalLM, tf.MixtralConfig(**lm, num_local_experts=4, num_experts_per_tok=2))
@job
def gemma(): causal("gemma", tf.GemmaForCausalLM, tf.GemmaConfig(**lm, head_dim=HD))
@job
def gemma2(): causal("gemma2", tf.Gemma2ForCausalLM, tf.Gemma2Config(**lm, head_dim=HD, sliding_window=8, query_pre_attn_scalar=HD))
@job
def gemma3(): causal("gemma3", tf.Gemma3ForCausalLM, tf.Gemma3TextConfig(**dict(lm, num_hidden_layers=L + 1), head_dim=HD, sliding_window=8, query_pre_attn_scalar=HD, layer_types=["sliding_attention", "full_attention", "sliding_attention", "full_attention"][:L + 1]))
@job
def phi3(): causal("phi3", tf.Phi3ForCausalLM, tf.Phi3Config(**lm))
@job
def olmo2(): causal("olmo2", tf.Olmo2ForCausalLM, tf.Olmo2Config(**lm))
@job
def falcon(): causal("falcon", tf.FalconForCausalLM, tf.FalconConfig(vocab_size=V, hidden_size=D, num_attention_heads=H, num_hidden_layers=L, ffn_hidden_size=F, multi_query=True, parallel_attn=True, bias=False, alibi=False, bos_token_id=1, eos_token_id=2))
@job
def gpt_oss(): causal("gpt-oss", tf.GptOssForCausalLM, tf.GptOssConfig(**dict(lm, max_position_embeddings=128), head_dim=HD, num_local_experts=4, num_experts_per_tok=2, sliding_window=8))
@job
def t5(): seq2seq("t5", tf.T5ForConditionalGeneration, tf.T5Config(vocab_size=V, d_model=D, d_kv=HD, d_ff=F, num_layers=L, num_heads=H, relative_attention_num_buckets=8, relative_attention_max_distance=20, decoder_start_token_id=0))
@job
def t5_v11(): seq2seq("t5-v1.1", tf.T5ForConditionalGeneration, tf.T5Config(vocab_size=V, d_model=D, d_kv=HD + 8, d_ff=F, num_layers=L, num_heads=H, relative_attention_num_buckets=8, relative_attention_max_distance=20, feed_forward_proj="gated-gelu", tie_word_embeddings=False, decoder_start_token_id=0))
@job
def bart(): seq2seq("bart", tf.BartForConditionalGeneration, tf.BartConfig(**s2))
@job
def marian(): seq2seq("marian", tf.MarianMTModel, tf.MarianConfig(**s2, activation_function="swish", scale_embedding=True, static_position_embeddings=True))
@job
def m2m100(): seq2seq("m2m100", tf.M2M100ForConditionalGeneration, tf.M2M100Config(**s2))
@job
def vit():
    g = torch.Generator().manual_seed(a.seed); S = 4 * (V % 3 + 8) // 8 * 8
    m = randomise(tf.ViTForImageClassification(tf.ViTConfig(hidden_size=D, num_attention_heads=H, num_hidden_layers=L, intermediate_size=F, image_size=S, patch_size=8, num_labels=5, attn_implementation="eager")), g)
    put("vit", m, dict(pixel_values=torch.randn(2, 3, S, S, generator=g)))
@job
def clip():
    g = torch.Generator().manual_seed(a.seed)
    t = dict(vocab_size=V, hidden_size=D, num_attention_heads=H, num_hidden_layers=L, intermediate_size=F, max_position_embeddings=32, eos_token_id=V - 1, bos_token_id=1, pad_token_id=0)
    v = dict(hidden_size=D, num_attention_heads=H, num_hidden_layers=L, intermediate_size=F, image_size=32, patch_size=8)
    m = randomise(tf.CLIPModel(tf.CLIPConfig(text_config=t, vision_config=v, projection_dim=40, attn_implementation="eager")), g)
    x = ids(g, n=11, b=3) % (V - 1); x[:, -1] = V - 1
    put("clip", m, dict(input_ids=x, pixel_values=torch.randn(2, 3, 32, 32, generator=g), attention_mask=torch.ones_like(x)))
@job
def whisper():
    g = torch.Generator().manual_seed(a.seed)
    c = tf.WhisperConfig(vocab_size=V, d_model=D, encoder_layers=L, decoder_layers=L, encoder_attention_heads=H, decoder_attention_heads=H, encoder_ffn_dim=F, decoder_ffn_dim=F, num_mel_bins=16, max_source_positions=50, max_target_positions=40, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, begin_suppress_tokens=None, suppress_tokens=None, attn_implementation="eager")
    m = randomise(tf.WhisperForConditionalGeneration(c), g)
    put("whisper", m, dict(input_features=torch.randn(1, 16, 100, generator=g), decoder_input_ids=ids(g, n=9)))


# ---- encoders that the first set has not: other heads, other families, the layout of sentence-transformers ----
types = lambda x: dict(token_type_ids=(torch.arange(x.shape[1])[None] > 4).long().expand(x.shape).contiguous())
mb = dict(base, max_position_embeddings=32)
rb = dict(mb, pad_token_id=1, bos_token_id=0, eos_token_id=2)
el = dict(mb, pad_token_id=0, embedding_size=D - 4)
al = dict(mb, pad_token_id=0, embedding_size=D // 2, hidden_act="gelu_new", num_hidden_groups=2, inner_group_num=2)
mo = dict(mb, pad_token_id=0, local_attention=6, global_attn_every_n_layers=2, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
di = dict(vocab_size=V, dim=D, n_heads=H, n_layers=L, hidden_dim=F, max_position_embeddings=32)

@small_job
def bert_answer(): encoder("bert-answer", tf.BertForQuestionAnswering, tf.BertConfig(**mb, pad_token_id=0), extra_in=types)
@small_job
def bert_regress(): encoder("bert-regress", tf.BertForSequenceClassification, tf.BertConfig(**mb, pad_token_id=0, num_labels=1, hidden_act="gelu_new"))
@small_job
def distilbert_base(): encoder("distilbert-base", tf.DistilBertModel, tf.DistilBertConfig(**di))
@small_job
def distilbert_mlm(): encoder("distilbert-mlm", tf.DistilBertForMaskedLM, tf.DistilBertConfig(**di, sinusoidal_pos_embds=True, activation="relu"))
@small_job
def distilbert_ner(): encoder("distilbert-ner", tf.DistilBertForTokenClassification, tf.DistilBertConfig(**di, num_labels=5))
@small_job
def distilbert_answer(): encoder("distilbert-answer", tf.DistilBertForQuestionAnswering, tf.DistilBertConfig(**di))
@small_job
def roberta_base(): encoder("roberta-base", tf.RobertaModel, tf.RobertaConfig(**rb, type_vocab_size=1))
@small_job
def roberta_classify(): encoder("roberta-classify", tf.RobertaForSequenceClassification, tf.RobertaConfig(**rb, type_vocab_size=1, num_labels=3))
@small_job
def xlm_roberta(): encoder("xlm-roberta", tf.XLMRobertaForMaskedLM, tf.XLMRobertaConfig(**rb, type_vocab_size=1, tie_word_embeddings=False))
@small_job
def xlm_roberta_classify(): encoder("xlm-roberta-classify", tf.XLMRobertaForSequenceClassification, tf.XLMRobertaConfig(**rb, type_vocab_size=1, num_labels=2))
@small_job
def xlm_roberta_ner(): encoder("xlm-roberta-ner", tf.XLMRobertaForTokenClassification, tf.XLMRobertaConfig(**dict(rb, pad_token_id=5), type_vocab_size=1, num_labels=7))
@small_job
def camembert(): encoder("camembert", tf.CamembertForMaskedLM, tf.CamembertConfig(**rb, type_vocab_size=1))
@small_job
def camembert_ner(): encoder("camembert-ner", tf.CamembertForTokenClassification, tf.CamembertConfig(**rb, type_vocab_size=1, num_labels=5))
@small_job
def electra(): encoder("electra", tf.ElectraModel, tf.ElectraConfig(**el), extra_in=types)
@small_job
def electra_detect(): encoder("electra-detect", tf.ElectraForPreTraining, tf.ElectraConfig(**el))
@small_job
def electra_mlm(): encoder("electra-mlm", tf.ElectraForMaskedLM, tf.ElectraConfig(**el, hidden_act="relu"))
@small_job
def electra_classify(): encoder("electra-classify", tf.ElectraForSequenceClassification, tf.ElectraConfig(**dict(el, embedding_size=D), num_labels=4))
@small_job
def electra_ner(): encoder("electra-ner", tf.ElectraForTokenClassification, tf.ElectraConfig(**el, num_labels=5))
@small_job
def albert(): encoder("albert", tf.AlbertModel, tf.AlbertConfig(**dict(al, num_hidden_layers=4)), extra_in=types)
@small_job
def albert_mlm(): encoder("albert-mlm", tf.AlbertForMaskedLM, tf.AlbertConfig(**dict(al, num_hidden_groups=1, inner_group_num=1)))
@small_job
def albert_classify(): encoder("albert-classify", tf.AlbertForSequenceClassification, tf.AlbertConfig(**al, num_labels=3))
@small_job
def albert_ner(): encoder("albert-ner", tf.AlbertForTokenClassification, tf.AlbertConfig(**al, num_labels=5))
@small_job
def mpnet(): encoder("mpnet", tf.MPNetModel, tf.MPNetConfig(**rb))
@small_job
def mpnet_mlm(): encoder("mpnet-mlm", tf.MPNetForMaskedLM, tf.MPNetConfig(**rb))
@small_job
def mpnet_classify(): encoder("mpnet-classify", tf.MPNetForSequenceClassification, tf.MPNetConfig(**rb, num_labels=3))
@small_job
def mpnet_ner(): encoder("mpnet-ner", tf.MPNetForTokenClassification, tf.MPNetConfig(**rb, num_labels=5))
@small_job
def modernbert_base(): encoder("modernbert-base", tf.ModernBertModel, tf.ModernBertConfig(**dict(mo, num_hidden_layers=3), norm_bias=True, attention_bias=True, mlp_bias=True))
@small_job
def modernbert_classify(): encoder("modernbert-classify", tf.ModernBertForSequenceClassification, tf.ModernBertConfig(**mo, num_labels=3, classifier_pooling="mean", classifier_bias=True))
@small_job
def modernbert_ner(): encoder("modernbert-ner", tf.ModernBertForTokenClassification, tf.ModernBertConfig(**mo, num_labels=5))
@small_job
def sentence_mean(): sentence("sentence-mean", tf.BertModel, tf.BertConfig(**mb, pad_token_id=0), ["mean_tokens"], normalize=True)
@small_job
def sentence_cls(): sentence("sentence-cls", tf.XLMRobertaModel, tf.XLMRobertaConfig(**rb, type_vocab_size=1), ["cls_token"], dense=12, normalize=True)
@small_job
def sentence_last(): sentence("sentence-last", tf.DistilBertModel, tf.DistilBertConfig(**di), ["lasttoken"])
@small_job
def sentence_many(): sentence("sentence-many", tf.MPNetModel, tf.MPNetConfig(**rb), ["max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens"], dense=6)

# Texts longer than the windows and no multiple of them; several global tokens, in the middle, in a padded place; none; those that classes and answers have by default.
lo = dict(rb, max_position_embeddings=64, type_vocab_size=1, attention_window=[8, 4], sep_token_id=2)
def marked(*rows):
    def add(x):
        m = torch.zeros_like(x)
        for b, at in enumerate(rows): m[b, list(at)] = 1
        return dict(global_attention_mask=m)
    return add
def question(x):
    for b, end in enumerate((5, 8)): x[b, [end, end + 1, x.shape[1] - 1 - 4 * b]] = 2
    return {}
@small_job
def longformer_globals(): encoder("longformer-globals", tf.LongformerForMaskedLM, tf.LongformerConfig(**lo), 6, marked((0, 20, 21, 33), (5, 41)), n=45)
@small_job
def longformer_none(): encoder("longformer-none", tf.LongformerForMaskedLM, tf.LongformerConfig(**lo), 3, n=13)
@small_job
def longformer_short(): encoder("longformer-short", tf.LongformerModel, tf.LongformerConfig(**dict(lo, attention_window=16)), 2, marked((1,), (0, 2)), n=5)
@small_job
def longformer_classify(): encoder("longformer-classify", tf.LongformerForSequenceClassification, tf.LongformerConfig(**lo, num_labels=3), 4, n=21)
@small_job
def longformer_ner(): encoder("longformer-ner", tf.LongformerForTokenClassification, tf.LongformerConfig(**lo, num_labels=5), 4, marked((3,), ()), n=21)
@small_job
def longformer_answer(): encoder("longformer-answer", tf.LongformerForQuestionAnswering, tf.LongformerConfig(**lo), 4, question, n=31)

os.makedirs(a.out, exist_ok=True)
bad = 0
only = ENCODERS if a.only == "encoders" else a.only.split(",") if a.only else J
for n, f in J.items():
    if n not in only: continue
    try: f()
    except Exception as e:
        bad += 1; print(f"{n:28s} FAILED {type(e).__name__}: {str(e)[:200]}", flush=True)
sys.exit(bad > 0)
