/* The attention map as one HTML page that needs nothing else: a person chooses layer, head and, of pictures, the query, and sees the value
 * under the pointer. Weights are 16-bit numbers in base64, drawn by the browser. */
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/picture.h"

static const char style[] =
    "body{font:14px system-ui,sans-serif;color:#223;margin:16px}h1{font-size:16px;font-weight:600;overflow-wrap:anywhere}"
    "#bar{position:sticky;top:0;left:0;background:#fff;padding:6px 0;z-index:2;width:calc(100vw - 40px)}"
    "label{margin-right:16px}select{font:inherit;max-width:14em}#v{min-height:1.5em;margin-top:4px;overflow-wrap:anywhere;"
    "font-variant-numeric:tabular-nums}#box{position:relative;width:max-content}"
    "#x,#y{position:absolute;pointer-events:none;border:1px solid #e3170a;box-sizing:border-box;display:none}";

static const char body[] =
    "<div id=\"bar\"><label>Layer <select id=\"l\"></select></label><label>Head <select id=\"h\"></select></label>"
    "<label id=\"ql\" hidden>From <select id=\"q\"></select></label>"
    "<label><input type=\"checkbox\" id=\"s\" checked> <span id=\"m\"></span></label>"
    "<div id=\"v\"></div></div>\n"
    "<div id=\"box\"><canvas id=\"c\"></canvas><div id=\"x\"></div><div id=\"y\"></div></div>\n";

static const char script[] =
    "const $=i=>document.getElementById(i),d=JSON.parse($('d').textContent),nq=d.queries.length,nk=d.keys.length,n=nq*nk;\n"
    "const bytes=s=>Uint8Array.from(atob(s),c=>c.charCodeAt(0)),u=bytes(d.weights),w=new DataView(u.buffer),p=d.patches;\n"
    "function fill(s,names,mean){names.forEach((t,i)=>s.add(new Option(t,i)));if(names.length>1)s.add(new Option(mean,-1))}\n"
    "fill($('l'),d.layers,'mean of layers');fill($('h'),d.heads,'mean of heads');\n"
    "const range=(v,n)=>v<0?[...Array(n).keys()]:[v];\n"
    /* the chosen map, or the mean of the chosen ones */
    "let m=new Float32Array(n),most=1;\n"
    "function choose(){const L=range(+$('l').value,d.layers.length),H=range(+$('h').value,d.heads.length);m.fill(0);\n"
    " for(const l of L)for(const h of H){const o=(l*d.heads.length+h)*n*2;for(let i=0;i<n;i++)m[i]+=w.getUint16(o+2*i,true)}\n"
    " for(let i=0;i<n;i++)m[i]/=65535*L.length*H.length;\n"
    " const r=p?m.subarray(+$('q').value*nk+p.lead,(+$('q').value+1)*nk):m;most=1;\n"
    " if($('s').checked){most=1e-6;for(const x of r)if(x>most)most=x}\n"
    " $('m').textContent='darkest is '+($('s').checked?'the largest shown, '+most.toFixed(4):'1')}\n"
    "const stops=[[250,250,252],[190,211,236],[98,150,207],[32,84,158],[8,24,66]];\n"
    "function colour(x){x=4*Math.sqrt(Math.min(Math.max(x/most,0),1));const i=Math.min(3,x|0);return stops[i].map((a,k)=>a+(stops[i+1][k]-a)*(x-i))}\n"
    "const c=$('c'),g=c.getContext('2d'),font=s=>s+'px system-ui,sans-serif';let cw,ch,left=0,top_=0;\n"
    "function size(W,H){const r=devicePixelRatio||1,k=Math.min(r,16000/W,16000/H,Math.sqrt(1e8/W/H));c.width=W*k;c.height=H*k;c.style.width=W+'px';c.style.height=H+'px';"
    "g.setTransform(k,0,0,k,0,0);g.fillStyle='#fff';g.fillRect(0,0,W,H)}\n"
    "const cell=n=>Math.max(1,Math.min(24,Math.floor(1100/n)));\n"
    "const letters=s=>Math.max(9,Math.min(15,s*.7));\n"
    "function cut(t,most){if(g.measureText(t).width<=most)return t;const a=[...t];while(a.length&&g.measureText(a.join('')+'\\u2026').width>most)a.pop();return a.join('')+'\\u2026'}\n"
    "function widest(labels,s){g.font=font(letters(s));const step=Math.ceil(letters(s)*1.2/s);let most=0;"
    "for(let i=0;i<labels.length;i+=step)most=Math.max(most,g.measureText(labels[i]).width);return Math.min(most,220)+10}\n"
    "function label(labels,s,up){g.font=font(letters(s));g.fillStyle='#223';g.textBaseline='middle';const step=Math.ceil(letters(s)*1.2/s);"
    "for(let i=0;i<labels.length;i+=step){g.save();if(up){g.translate(left+(i+.5)*cw,top_-4);g.rotate(-Math.PI/2);g.textAlign='left'}"
    "else{g.translate(left-4,top_+(i+.5)*ch);g.textAlign='right'}g.fillText(cut(labels[i],220),0,0);g.restore()}}\n"
    "function matrix(){cw=cell(nk);ch=cell(nq);left=widest(d.queries,ch);top_=widest(d.keys,cw);size(left+nk*cw+8,top_+nq*ch+8);\n"
    " const o=document.createElement('canvas');o.width=nk;o.height=nq;const q=o.getContext('2d'),a=q.createImageData(nk,nq);\n"
    " for(let i=0;i<n;i++){const x=colour(m[i]);for(let k=0;k<3;k++)a.data[4*i+k]=x[k];a.data[4*i+3]=255}q.putImageData(a,0,0);\n"
    " g.imageSmoothingEnabled=false;g.drawImage(o,left,top_,nk*cw,nq*ch);label(d.keys,cw,1);label(d.queries,ch,0);\n"
    " g.strokeStyle='#667';g.strokeRect(left,top_,nk*cw,nq*ch)}\n"
    "const photo=new Image();\n"
    "function overlay(){const k=Math.max(1,Math.floor(560/Math.max(p.width,p.height)))*(p.width>1000?1000/p.width:1);left=top_=8;"
    "cw=ch=p.side*k;\n"
    " size(p.width*k+16,p.height*k+16);g.imageSmoothingEnabled=false;g.filter='grayscale(1)';g.globalAlpha=.7;g.drawImage(photo,8,8,p.width*k,p.height*k);g.globalAlpha=1;g.filter='none';\n"
    " const q=+$('q').value;for(let i=0;i<p.rows*p.columns;i++){g.fillStyle='rgba(227,23,10,'+.85*Math.min(1,m[q*nk+p.lead+i]/most)+')';"
    "g.fillRect(8+i%p.columns*cw,8+Math.floor(i/p.columns)*ch,cw,ch)}\n"
    " if(q>=p.lead){const i=q-p.lead;g.strokeStyle='#06f';g.lineWidth=2;g.strokeRect(8+i%p.columns*cw,8+Math.floor(i/p.columns)*ch,cw,ch)}}\n"
    "function rest(){if(!p){$('v').textContent='Point at a cell: it shows how much of the row\\u2019s attention goes to the column.';return}"
    "const q=+$('q').value;$('v').textContent='Without a place: '+d.keys.slice(0,p.lead).map((t,i)=>t+' '+m[q*nk+i].toFixed(4)).join(', ')+'. Point at a patch for its value, click to look from it.'}\n"
    "function draw(){choose();p?overlay():matrix();rest();hide()}\n"
    "function hide(){$('x').style.display=$('y').style.display='none'}\n"
    "function place(e,X,Y,W,H){Object.assign(e.style,{display:'block',left:X+'px',top:Y+'px',width:W+'px',height:H+'px'})}\n"
    "function at(e){const r=c.getBoundingClientRect(),x=Math.floor((e.clientX-r.left-left)/cw),y=Math.floor((e.clientY-r.top-top_)/ch);"
    "return x>=0&&y>=0&&x<(p?p.columns:nk)&&y<(p?p.rows:nq)?[x,y]:null}\n"
    "const q_=t=>'\\u201c'+t+'\\u201d';\n"
    "c.onmousemove=e=>{const a=at(e);if(!a){rest();hide();return}const[x,y]=a,q=p?+$('q').value:y,k=p?p.lead+y*p.columns+x:x;\n"
    " $('v').textContent=q_(d.queries[q])+' \\u2192 '+q_(d.keys[k])+': '+m[q*nk+k].toFixed(4);\n"
    " if(p){place($('x'),left+x*cw,top_+y*ch,cw,ch);return}place($('x'),0,top_+y*ch,left+nk*cw,Math.max(ch,3));place($('y'),left+x*cw,0,Math.max(cw,3),top_+nq*ch)};\n"
    "c.onmouseleave=()=>{rest();hide()};\n"
    "c.onclick=e=>{const a=at(e);if(p&&a){$('q').value=p.lead+a[1]*p.columns+a[0];draw()}};\n"
    "for(const i of ['l','h','q','s'])$(i).onchange=draw;\n"
    "if(p){$('ql').hidden=false;d.queries.forEach((t,i)=>$('q').add(new Option(t,i)));$('q').value=p.query;photo.onload=draw;photo.src=p.image}else draw();\n";

/* Every weight as a 16-bit share of 1, the low byte first. */
static void add_weights(const pm_attention *a, picture_file *f) {
    size_t n = (size_t)(a->n_layers * a->n_heads * a->n_queries * a->n_keys);
    unsigned char *two = malloc(2 * n);
    for (size_t i = 0; two && i < n; i++) {
        float w = a->weights[i];
        unsigned x = w >= 1 ? 65535u : w > 0 ? (unsigned)(w * 65535 + 0.5f) : 0u;
        two[2 * i] = (unsigned char)(x & 255);
        two[2 * i + 1] = (unsigned char)(x >> 8);
    }
    if (two)
        picture_add_base64(f, two, 2 * n);
    else
        f->failed = true;
    free(two);
}

static void add_patches(const picture_choice *c, picture_file *f) {
    const pm_attention *a = c->map;
    const pm_image *image = &a->image;
    size_t n = (size_t)(image->width * image->height);
    unsigned char *rgb = malloc(3 * n);
    picture_file png = {0};
    for (size_t i = 0; rgb && i < 3 * n; i++) rgb[i] = image->pixels[image->channels == 3 ? i : i / 3];
    if (rgb) picture_add_pixels(&png, rgb, image->width, image->height);
    picture_add(
        f,
        "\"patches\":{\"lead\":%lld,\"rows\":%lld,\"columns\":%lld,\"side\":%lld,\"width\":%lld,\"height\":%lld,\"query\":%lld,"
        "\"image\":\"data:image/png;base64,",
        (long long)a->key.n_lead, (long long)a->key.rows, (long long)a->key.columns, (long long)a->key.side,
        (long long)image->width, (long long)image->height, (long long)c->query);
    if (!rgb || png.failed)
        f->failed = true;
    else
        picture_add_base64(f, png.data, png.bytes);
    picture_add(f, "\"},\n");
    free(png.data);
    free(rgb);
}

int picture_html(const picture_choice *c, picture_file *f) {
    static const double most = 1e8;
    const pm_attention *a = c->map;
    double n = (double)a->n_layers * (double)a->n_heads * (double)a->n_queries * (double)a->n_keys;
    if (n > most)
        return cli_error(
            PM_ERR_USAGE,
            "attend: the page would hold %.0f weights, expected at most %.0f; choose --layer or --head", n,
            most);
    picture_add(f, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    picture_add_escaped(f, c->title);
    picture_add(f, "</title><style>");
    picture_add_bytes(f, style, sizeof style - 1);
    picture_add(f, "</style></head><body>\n<h1>");
    picture_add_escaped(f, c->title);
    picture_add(f, "</h1>\n");
    picture_add_bytes(f, body, sizeof body - 1);
    picture_add(f, "<script type=\"application/json\" id=\"d\">");
    picture_add_head(c, f);
    if (picture_is_overlay(a)) add_patches(c, f);
    picture_add(f, "\"weights\":\"");
    add_weights(a, f);
    picture_add(f, "\"}</script>\n<script>\n");
    picture_add_bytes(f, script, sizeof script - 1);
    picture_add(f, "</script></body></html>\n");
    return PM_OK;
}
