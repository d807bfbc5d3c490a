#define DX_PATCH_IMPLEMENTATION
#include "/tmp/wt/patch2/dx_patch.h"



#include "../lz.h"
static dx_patch_p_sink sk(size_t n){dx_patch_p_sink s;memset(&s,0,sizeof s);s.at=malloc(n);s.end=s.at+n;return s;}
int main(int c,char**v){size_t a,b;u8*B=load(v[1],&a),*T=load(v[2],&b);static dx_patch_p_parser p;p.base=B;p.base_size=a;p.target=T;p.target_size=b;p.depth=16;p.chain=16;p.links_log=20;p.links=calloc(1u<<20,4);p.heads=calloc(1u<<DX_PATCH_P_HEADS_LOG,4);p.steps=malloc(sizeof(dx_patch_p_way)*(DX_PATCH_P_STEPS+DX_PATCH_P_STEPS_MORE+8));
 double t0=now_s();for(int k=0;k<2&&a>64;k++){dx_patch_p_seeds*s=p.seeds+k;s->size=k?8:32;s->log=10;while((1u<<s->log)<a&&s->log<22)s->log++;s->starts=calloc((1u<<s->log)+2,4);s->places=malloc(4*a);u32*h=malloc(4*a);size_t cnt=a-s->size+1;for(size_t i=0;i<cnt;i++){h[i]=(u32)(dx_patch_p_seed_hash(B+i,s->size)>>(64-s->log));s->starts[h[i]+2]++;}for(size_t i=2;i<(1u<<s->log)+2;i++)s->starts[i]+=s->starts[i-1];for(size_t i=0;i<cnt;i++)s->places[s->starts[h[i]+1]++]=(u32)i;free(h);}
 double t1=now_s();dx_patch_p_first_prices(&p);u8*o0=0;
 for(int pass=0;pass<2;pass++){memset(&p.counts,0,sizeof p.counts);memset(&p.copier,0,sizeof p.copier);memset(p.heads,0,4u<<DX_PATCH_P_HEADS_LOG);p.run=0;p.runs=sk(b+100);p.sources=sk(b+100);p.sizes=sk(b+100);p.literals=sk(b+100);p.bits=sk(8*b+100);u8*st[5]={p.runs.at,p.sources.at,p.sizes.at,p.literals.at,p.bits.at};dx_patch_p_parse(&p,0,b);dx_patch_p_sink_end(&p.bits);dx_patch_p_set_prices(&p);
  if(pass==1){dx_patch_p_sink o=sk(2*b+10000);o0=o.at;dx_patch_p_put_plain(&o,st[0],p.runs.at-st[0]);dx_patch_p_put_plain(&o,st[1],p.sources.at-st[1]);dx_patch_p_put_plain(&o,st[2],p.sizes.at-st[2]);dx_patch_p_sink_number(&o,p.bits.at-st[4]);dx_patch_p_sink_bytes(&o,st[4],p.bits.at-st[4]);dx_patch_p_put_plain(&o,st[3],p.literals.at-st[3]);
   double t2=now_s();u8*mem=malloc(2*b+1000),*out=malloc(b+1);u32*table=malloc(16384);int fuzz=c>3?atoi(v[3]):0;u8*e0=0;double best=9;
   for(int rep=0;rep<3+fuzz;rep++){size_t n=(size_t)(o.at-o0);u8*in=o0;if(rep>=3){in=malloc(n);memcpy(in,o0,n);for(int z=1+rand()%3;z--;)in[rand()%n]^=(u8)(1<<rand()%8);}dx_patch_p_streams s;memset(&s,0,sizeof s);s.in.at=in;s.in.end=in+n;s.store.at=mem;s.store.left=s.store.left_min=2*b;s.table=table;dx_patch_p_copier k;dx_patch_p_copy x;double t=now_s();int ok=dx_patch_p_read_codes(&s,&k,dx_patch_p_read_inner)&&dx_patch_p_read_inner(&s,&k.literals);size_t at=0;
    while(ok&&at<b){ok=dx_patch_p_next_copy(&k,at,b-at,a,&x);if(!ok)break;if(x.literals>(u64)(k.literals.end-k.literals.at)){ok=0;break;}memcpy(out+at,k.literals.at,x.literals);k.literals.at+=x.literals;at+=x.literals;if(!x.size)break;if(x.own)dx_patch_p_copy_back(out+at,(size_t)k.back,(size_t)x.size);else memcpy(out+at,B+x.source,(size_t)x.size);at+=x.size;}
    ok=ok&&dx_patch_p_copier_done(&k)&&k.literals.at==k.literals.end&&s.in.at==s.in.end;t=now_s()-t;if(t<best&&rep<3)best=t;if(rep<3&&(!ok||at+0>b||memcmp(out,T,b))){printf("BAD ok %d at %zu\n",ok,at);return 1;}if(rep>=3)free(in);}
   printf("%zu index %.2f make %.2f apply %.4f %.2f GB/s\n",(size_t)(o.at-o0),t1-t0,t2-t1,best,(double)b/best/1e9);}}
 return 0;}
