"""Small vision checkpoints with PyTorch's outputs, beyond those of the reference set.

    python3 make_vision_cases.py OUT   # transformers 5.12, torch

vit-gray-odd, deit, dinov2, dinov2-swiglu, dinov2-registers, clip-eos2 and clip-text-proj are committed in reference/."""
import os,sys,torch,transformers as tf
from safetensors.torch import save_file
out=sys.argv[1]; D,H,L,F=16,2,2,24
def init(m,seed):
    g=torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for n,p in m.named_parameters():
            if p.ndim>=2: p.copy_(torch.randn(p.shape,generator=g)*(0.5 if 'token' in n or 'position' in n or 'embedding' in n else 1.2/(p[0].numel()**.5)))
            elif n.endswith('bias'): p.copy_(torch.randn(p.shape,generator=g)*0.1)
            elif n=='logit_scale': p.fill_(2.0)
            else: p.copy_(1+torch.randn(p.shape,generator=g)*0.2)
    return m.eval()
def flat(k,x,ref):
    if torch.is_tensor(x): ref[k]=x.detach().contiguous().clone()
    elif isinstance(x,(tuple,list)):
        for i,y in enumerate(x): flat(f"{k}.{i}",y,ref)
KEEP=("logits","cls_logits","distillation_logits","last_hidden_state","pooler_output","hidden_states","attentions","image_embeds","text_embeds","logits_per_image","logits_per_text")
def put(name,cls,cfg,inputs,seed=3):
    cfg._attn_implementation="eager"
    torch.manual_seed(0)
    m=init(cls(cfg),seed); d=os.path.join(out,name); os.makedirs(d,exist_ok=True)
    with torch.no_grad(): o=m(**inputs,output_hidden_states=True,output_attentions=True,return_dict=True)
    ref={}
    for k,v in inputs.items(): flat("in."+k,v,ref)
    for k in KEEP:
        v=getattr(o,k,None)
        if v is not None: flat("out."+k,v,ref)
    m.save_pretrained(d); save_file(ref,os.path.join(d,"reference.safetensors")); print(name,list(ref)[:4],len(ref))
g=torch.Generator().manual_seed(7)
px=lambda b,h,w,c=3: torch.randn((b,c,h,w),generator=g)
base=dict(hidden_size=D,num_hidden_layers=L,num_attention_heads=H,intermediate_size=F,image_size=12,patch_size=4,num_labels=5)
put("vit-model",tf.ViTModel,tf.ViTConfig(**base),dict(pixel_values=px(3,12,12)))
put("vit-gray-odd",tf.ViTForImageClassification,tf.ViTConfig(**dict(base,image_size=14,num_channels=1,qkv_bias=False,hidden_act="gelu_new")),dict(pixel_values=px(5,14,14,1)))
put("deit",tf.DeiTForImageClassificationWithTeacher,tf.DeiTConfig(**base),dict(pixel_values=px(2,12,12)))
put("deit-single",tf.DeiTForImageClassification,tf.DeiTConfig(**base),dict(pixel_values=px(2,12,12)))
put("deit-model",tf.DeiTModel,tf.DeiTConfig(**base),dict(pixel_values=px(2,12,12)))
dino=dict(hidden_size=D,num_hidden_layers=L,num_attention_heads=H,image_size=20,patch_size=4,num_labels=5,mlp_ratio=2)
put("dinov2",tf.Dinov2ForImageClassification,tf.Dinov2Config(**dino),dict(pixel_values=px(2,12,12)))
put("dinov2-same",tf.Dinov2Model,tf.Dinov2Config(**dino),dict(pixel_values=px(2,20,20)))
put("dinov2-swiglu",tf.Dinov2Model,tf.Dinov2Config(**dict(dino,use_swiglu_ffn=True)),dict(pixel_values=px(2,29,17)))
put("dinov2-registers",tf.Dinov2WithRegistersForImageClassification,tf.Dinov2WithRegistersConfig(**dict(dino,num_register_tokens=3)),dict(pixel_values=px(2,12,28)))
put("dinov2-registers-up",tf.Dinov2WithRegistersModel,tf.Dinov2WithRegistersConfig(**dict(dino,num_register_tokens=4)),dict(pixel_values=px(1,32,24)))
t=dict(vocab_size=61,hidden_size=D,num_hidden_layers=L,num_attention_heads=H,intermediate_size=F,max_position_embeddings=16,projection_dim=20)
v=dict(hidden_size=24,num_hidden_layers=L,num_attention_heads=3,intermediate_size=F,image_size=12,patch_size=4,projection_dim=20)
ids=torch.randint(3,60,(4,9),generator=g); mask=torch.ones_like(ids)
ids[0,4]=60; ids[0,5:]=0; mask[0,5:]=0; ids[1,8]=60; ids[2,2]=60; ids[2,6]=60; ids[3,:]=ids[3,:]
put("clip-eos2",tf.CLIPModel,tf.CLIPConfig(text_config=dict(t,eos_token_id=2),vision_config=v,projection_dim=20),dict(pixel_values=px(3,12,12),input_ids=ids,attention_mask=mask))
put("clip-gelu",tf.CLIPModel,tf.CLIPConfig(text_config=dict(t,eos_token_id=60,hidden_act="gelu"),vision_config=v,projection_dim=20),dict(pixel_values=px(1,12,12),input_ids=ids,attention_mask=mask))
put("clip-text",tf.CLIPTextModel,tf.CLIPTextConfig(**dict(t,eos_token_id=60)),dict(input_ids=ids,attention_mask=mask))
put("clip-text-proj",tf.CLIPTextModelWithProjection,tf.CLIPTextConfig(**dict(t,eos_token_id=60)),dict(input_ids=ids))
put("clip-vision",tf.CLIPVisionModel,tf.CLIPVisionConfig(**v),dict(pixel_values=px(2,12,12)))
put("clip-vision-proj",tf.CLIPVisionModelWithProjection,tf.CLIPVisionConfig(**v),dict(pixel_values=px(2,12,12)))
